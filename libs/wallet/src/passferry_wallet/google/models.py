"""Every class and object of Google Wallet as a typed model; unknown keys are refused.

Written by tools/generate_google_models.py from revision 20260806 of Google's description. Fields
that only the platform sets are left out, and so are the old spellings of enumerations.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from passferry_wallet.google.strict_model import Double, GoogleModel, Int32, Int64Text

REVISION = "20260806"


class ActivationOptions(GoogleModel):
    activation_url: str | None = None
    allow_reactivation: bool | None = None


class ActivationStatus(GoogleModel):
    state: Literal["UNKNOWN_STATE", "NOT_ACTIVATED", "ACTIVATED"] | None = None


class AirportInfo(GoogleModel):
    airport_iata_code: str
    airport_name_override: LocalizedString | None = None
    gate: str | None = None
    terminal: str | None = None


class AppLinkData(GoogleModel):
    android_app_link_info: AppLinkDataAppLinkInfo | None = None
    display_text: LocalizedString | None = None
    ios_app_link_info: AppLinkDataAppLinkInfo | None = None
    web_app_link_info: AppLinkDataAppLinkInfo | None = None


class AppLinkDataAppLinkInfo(GoogleModel):
    app_logo_image: Image | None = None
    app_target: AppLinkDataAppLinkInfoAppTarget | None = None
    description: LocalizedString | None = None
    title: LocalizedString | None = None


class AppLinkDataAppLinkInfoAppTarget(GoogleModel):
    package_name: str | None = None
    target_uri: Uri | None = None


class Barcode(GoogleModel):
    alternate_text: str | None = None
    render_encoding: Literal["UTF_8"] | None = None
    show_code_text: LocalizedString | None = None
    type: (
        Literal[
            "AZTEC",
            "CODE_39",
            "CODE_128",
            "CODABAR",
            "DATA_MATRIX",
            "EAN_8",
            "EAN_13",
            "ITF_14",
            "PDF_417",
            "QR_CODE",
            "UPC_A",
            "TEXT_ONLY",
        ]
        | None
    ) = None
    value: str | None = None


class BarcodeSectionDetail(GoogleModel):
    field_selector: FieldSelector | None = None


class BoardingAndSeatingInfo(GoogleModel):
    boarding_door: Literal["FRONT", "BACK"] | None = None
    boarding_group: str | None = None
    boarding_position: str | None = None
    boarding_privilege_image: Image | None = None
    seat_assignment: LocalizedString | None = None
    seat_class: str | None = None
    seat_number: str | None = None
    sequence_number: str | None = None


class BoardingAndSeatingPolicy(GoogleModel):
    boarding_policy: Literal["ZONE_BASED", "GROUP_BASED", "BOARDING_POLICY_OTHER"] | None = None
    seat_class_policy: (
        Literal["CABIN_BASED", "CLASS_BASED", "TIER_BASED", "SEAT_CLASS_POLICY_OTHER"] | None
    ) = None


class CallbackOptions(GoogleModel):
    update_request_url: str | None = None
    url: str | None = None


class CardBarcodeSectionDetails(GoogleModel):
    first_bottom_detail: BarcodeSectionDetail | None = None
    first_top_detail: BarcodeSectionDetail | None = None
    second_top_detail: BarcodeSectionDetail | None = None


class CardRowOneItem(GoogleModel):
    item: TemplateItem | None = None


class CardRowTemplateInfo(GoogleModel):
    one_item: CardRowOneItem | None = None
    three_items: CardRowThreeItems | None = None
    two_items: CardRowTwoItems | None = None


class CardRowThreeItems(GoogleModel):
    end_item: TemplateItem | None = None
    middle_item: TemplateItem | None = None
    start_item: TemplateItem | None = None


class CardRowTwoItems(GoogleModel):
    end_item: TemplateItem | None = None
    start_item: TemplateItem | None = None


class CardTemplateOverride(GoogleModel):
    card_row_template_infos: list[CardRowTemplateInfo] | None = None


class ClassTemplateInfo(GoogleModel):
    card_barcode_section_details: CardBarcodeSectionDetails | None = None
    card_template_override: CardTemplateOverride | None = None
    details_template_override: DetailsTemplateOverride | None = None
    list_template_override: ListTemplateOverride | None = None


class DateTime(GoogleModel):
    date: str | None = None


class DetailsItemInfo(GoogleModel):
    item: TemplateItem | None = None


class DetailsTemplateOverride(GoogleModel):
    details_item_infos: list[DetailsItemInfo] | None = None


class DeviceContext(GoogleModel):
    device_token: str | None = None


class DiscoverableProgram(GoogleModel):
    merchant_signin_info: DiscoverableProgramMerchantSigninInfo | None = None
    merchant_signup_info: DiscoverableProgramMerchantSignupInfo | None = None
    state: Literal["TRUSTED_TESTERS", "LIVE", "DISABLED"] | None = None


class DiscoverableProgramMerchantSigninInfo(GoogleModel):
    signin_website: Uri | None = None


class DiscoverableProgramMerchantSignupInfo(GoogleModel):
    signup_shared_datas: (
        list[
            Literal[
                "FIRST_NAME",
                "LAST_NAME",
                "STREET_ADDRESS",
                "ADDRESS_LINE_1",
                "ADDRESS_LINE_2",
                "ADDRESS_LINE_3",
                "CITY",
                "STATE",
                "ZIPCODE",
                "COUNTRY",
                "EMAIL",
                "PHONE",
            ]
        ]
        | None
    ) = None
    signup_website: Uri | None = None


class EventDateTime(GoogleModel):
    custom_doors_open_label: LocalizedString | None = None
    doors_open: str | None = None
    doors_open_label: Literal["DOORS_OPEN", "GATES_OPEN"] | None = None
    end: str | None = None
    start: str | None = None


class EventReservationInfo(GoogleModel):
    confirmation_code: str | None = None


class EventSeat(GoogleModel):
    gate: LocalizedString | None = None
    row: LocalizedString | None = None
    seat: LocalizedString | None = None
    section: LocalizedString | None = None


class EventTicketClass(GoogleModel):
    allow_multiple_users_per_object: bool | None = None
    app_link_data: AppLinkData | None = None
    callback_options: CallbackOptions | None = None
    class_template_info: ClassTemplateInfo | None = None
    confirmation_code_label: (
        Literal["CONFIRMATION_CODE", "CONFIRMATION_NUMBER", "ORDER_NUMBER", "RESERVATION_NUMBER"]
        | None
    ) = None
    country_code: str | None = None
    custom_confirmation_code_label: LocalizedString | None = None
    custom_gate_label: LocalizedString | None = None
    custom_row_label: LocalizedString | None = None
    custom_seat_label: LocalizedString | None = None
    custom_section_label: LocalizedString | None = None
    date_time: EventDateTime | None = None
    enable_smart_tap: bool | None = None
    event_id: str | None = None
    event_name: LocalizedString
    fine_print: LocalizedString | None = None
    gate_label: Literal["GATE", "DOOR", "ENTRANCE"] | None = None
    hero_image: Image | None = None
    hex_background_color: str | None = None
    homepage_uri: Uri | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    info_module_data: InfoModuleData | None = None
    issuer_name: str
    links_module_data: LinksModuleData | None = None
    localized_issuer_name: LocalizedString | None = None
    locations: list[LatLongPoint] | None = None
    logo: Image | None = None
    merchant_locations: list[MerchantLocation] | None = None
    messages: list[Message] | None = None
    multiple_devices_and_holders_allowed_status: (
        Literal["MULTIPLE_HOLDERS", "ONE_USER_ALL_DEVICES", "ONE_USER_ONE_DEVICE"] | None
    ) = None
    notify_preference: Literal["NOTIFY_ON_UPDATE"] | None = None
    redemption_issuers: list[Int64Text] | None = None
    review_status: Literal["UNDER_REVIEW", "APPROVED", "REJECTED", "DRAFT"]
    row_label: Literal["ROW"] | None = None
    seat_label: Literal["SEAT"] | None = None
    section_label: Literal["SECTION", "THEATER"] | None = None
    security_animation: SecurityAnimation | None = None
    text_modules_data: list[TextModuleData] | None = None
    value_added_module_data: list[ValueAddedModuleData] | None = None
    venue: EventVenue | None = None
    view_unlock_requirement: Literal["UNLOCK_NOT_REQUIRED", "UNLOCK_REQUIRED_TO_VIEW"] | None = None
    wide_logo: Image | None = None
    word_mark: Image | None = None


class EventTicketObject(GoogleModel):
    app_link_data: AppLinkData | None = None
    barcode: Barcode | None = None
    class_id: str
    disable_expiration_notification: bool | None = None
    face_value: Money | None = None
    grouping_info: GroupingInfo | None = None
    hero_image: Image | None = None
    hex_background_color: str | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    info_module_data: InfoModuleData | None = None
    linked_object_ids: list[str] | None = None
    linked_offer_ids: list[str] | None = None
    links_module_data: LinksModuleData | None = None
    locations: list[LatLongPoint] | None = None
    merchant_locations: list[MerchantLocation] | None = None
    messages: list[Message] | None = None
    notify_preference: Literal["NOTIFY_ON_UPDATE"] | None = None
    pass_constraints: PassConstraints | None = None
    reservation_info: EventReservationInfo | None = None
    rotating_barcode: RotatingBarcode | None = None
    save_restrictions: SaveRestrictions | None = None
    seat_info: EventSeat | None = None
    smart_tap_redemption_value: str | None = None
    state: Literal["ACTIVE", "COMPLETED", "EXPIRED", "INACTIVE"]
    text_modules_data: list[TextModuleData] | None = None
    ticket_holder_name: str | None = None
    ticket_number: str | None = None
    ticket_type: LocalizedString | None = None
    valid_time_interval: TimeInterval | None = None
    value_added_module_data: list[ValueAddedModuleData] | None = None


class EventVenue(GoogleModel):
    address: LocalizedString
    name: LocalizedString


class ExpiryNotification(GoogleModel):
    enable_notification: bool | None = None


class FieldReference(GoogleModel):
    date_format: (
        Literal[
            "DATE_TIME",
            "DATE_ONLY",
            "TIME_ONLY",
            "DATE_TIME_YEAR",
            "DATE_YEAR",
            "YEAR_MONTH",
            "YEAR_MONTH_DAY",
        ]
        | None
    ) = None
    field_path: str | None = None


class FieldSelector(GoogleModel):
    fields: list[FieldReference] | None = None


class FirstRowOption(GoogleModel):
    field_option: FieldSelector | None = None
    transit_option: (
        Literal["ORIGIN_AND_DESTINATION_NAMES", "ORIGIN_AND_DESTINATION_CODES", "ORIGIN_NAME"]
        | None
    ) = None


class FlightCarrier(GoogleModel):
    airline_alliance_logo: Image | None = None
    airline_logo: Image | None = None
    airline_name: LocalizedString | None = None
    carrier_iata_code: str | None = None
    carrier_icao_code: str | None = None
    wide_airline_logo: Image | None = None


class FlightClass(GoogleModel):
    allow_multiple_users_per_object: bool | None = None
    app_link_data: AppLinkData | None = None
    boarding_and_seating_policy: BoardingAndSeatingPolicy | None = None
    callback_options: CallbackOptions | None = None
    class_template_info: ClassTemplateInfo | None = None
    country_code: str | None = None
    destination: AirportInfo
    enable_smart_tap: bool | None = None
    flight_header: FlightHeader
    flight_status: (
        Literal["SCHEDULED", "ACTIVE", "LANDED", "CANCELLED", "REDIRECTED", "DIVERTED"] | None
    ) = None
    hero_image: Image | None = None
    hex_background_color: str | None = None
    homepage_uri: Uri | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    info_module_data: InfoModuleData | None = None
    issuer_name: str
    language_override: str | None = None
    links_module_data: LinksModuleData | None = None
    local_boarding_date_time: str | None = None
    local_estimated_or_actual_arrival_date_time: str | None = None
    local_estimated_or_actual_departure_date_time: str | None = None
    local_gate_closing_date_time: str | None = None
    local_scheduled_arrival_date_time: str | None = None
    local_scheduled_departure_date_time: str
    localized_issuer_name: LocalizedString | None = None
    locations: list[LatLongPoint] | None = None
    merchant_locations: list[MerchantLocation] | None = None
    messages: list[Message] | None = None
    multiple_devices_and_holders_allowed_status: (
        Literal["MULTIPLE_HOLDERS", "ONE_USER_ALL_DEVICES", "ONE_USER_ONE_DEVICE"] | None
    ) = None
    notify_preference: Literal["NOTIFY_ON_UPDATE"] | None = None
    origin: AirportInfo
    redemption_issuers: list[Int64Text] | None = None
    review_status: Literal["UNDER_REVIEW", "APPROVED", "REJECTED", "DRAFT"]
    security_animation: SecurityAnimation | None = None
    text_modules_data: list[TextModuleData] | None = None
    value_added_module_data: list[ValueAddedModuleData] | None = None
    view_unlock_requirement: Literal["UNLOCK_NOT_REQUIRED", "UNLOCK_REQUIRED_TO_VIEW"] | None = None
    word_mark: Image | None = None


class FlightHeader(GoogleModel):
    carrier: FlightCarrier
    flight_number: str
    flight_number_display_override: str | None = None
    operating_carrier: FlightCarrier | None = None
    operating_flight_number: str | None = None


class FlightObject(GoogleModel):
    app_link_data: AppLinkData | None = None
    barcode: Barcode | None = None
    boarding_and_seating_info: BoardingAndSeatingInfo | None = None
    class_id: str
    disable_expiration_notification: bool | None = None
    grouping_info: GroupingInfo | None = None
    hero_image: Image | None = None
    hex_background_color: str | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    info_module_data: InfoModuleData | None = None
    linked_object_ids: list[str] | None = None
    links_module_data: LinksModuleData | None = None
    locations: list[LatLongPoint] | None = None
    merchant_locations: list[MerchantLocation] | None = None
    messages: list[Message] | None = None
    notify_preference: Literal["NOTIFY_ON_UPDATE"] | None = None
    pass_constraints: PassConstraints | None = None
    passenger_name: str
    reservation_info: ReservationInfo
    rotating_barcode: RotatingBarcode | None = None
    save_restrictions: SaveRestrictions | None = None
    security_program_logo: Image | None = None
    smart_tap_redemption_value: str | None = None
    state: Literal["ACTIVE", "COMPLETED", "EXPIRED", "INACTIVE"]
    text_modules_data: list[TextModuleData] | None = None
    valid_time_interval: TimeInterval | None = None
    value_added_module_data: list[ValueAddedModuleData] | None = None


class FrequentFlyerInfo(GoogleModel):
    frequent_flyer_number: str
    frequent_flyer_program_name: LocalizedString | None = None


class GenericClass(GoogleModel):
    app_link_data: AppLinkData | None = None
    callback_options: CallbackOptions | None = None
    class_template_info: ClassTemplateInfo | None = None
    enable_smart_tap: bool | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    links_module_data: LinksModuleData | None = None
    merchant_locations: list[MerchantLocation] | None = None
    messages: list[Message] | None = None
    multiple_devices_and_holders_allowed_status: (
        Literal["MULTIPLE_HOLDERS", "ONE_USER_ALL_DEVICES", "ONE_USER_ONE_DEVICE"] | None
    ) = None
    redemption_issuers: list[Int64Text] | None = None
    security_animation: SecurityAnimation | None = None
    text_modules_data: list[TextModuleData] | None = None
    value_added_module_data: list[ValueAddedModuleData] | None = None
    view_unlock_requirement: Literal["UNLOCK_NOT_REQUIRED", "UNLOCK_REQUIRED_TO_VIEW"] | None = None


class GenericObject(GoogleModel):
    app_link_data: AppLinkData | None = None
    barcode: Barcode | None = None
    card_title: LocalizedString
    class_id: str
    generic_type: (
        Literal[
            "GENERIC_SEASON_PASS",
            "GENERIC_UTILITY_BILLS",
            "GENERIC_PARKING_PASS",
            "GENERIC_VOUCHER",
            "GENERIC_GYM_MEMBERSHIP",
            "GENERIC_LIBRARY_MEMBERSHIP",
            "GENERIC_RESERVATIONS",
            "GENERIC_AUTO_INSURANCE",
            "GENERIC_HOME_INSURANCE",
            "GENERIC_ENTRY_TICKET",
            "GENERIC_RECEIPT",
            "GENERIC_LOYALTY_CARD",
            "GENERIC_BUSINESS_CARD",
            "GENERIC_BARCODE_PASS",
            "GENERIC_MEMBERSHIP_CARD",
            "GENERIC_STUDENT_CARD",
            "GENERIC_TRANSIT_PASS",
            "GENERIC_VEHICLE_REGISTRATION",
            "GENERIC_OTHER",
        ]
        | None
    ) = None
    grouping_info: GroupingInfo | None = None
    header: LocalizedString
    hero_image: Image | None = None
    hex_background_color: str | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    linked_object_ids: list[str] | None = None
    links_module_data: LinksModuleData | None = None
    logo: Image | None = None
    merchant_locations: list[MerchantLocation] | None = None
    messages: list[Message] | None = None
    notifications: Notifications | None = None
    pass_constraints: PassConstraints | None = None
    rotating_barcode: RotatingBarcode | None = None
    save_restrictions: SaveRestrictions | None = None
    smart_tap_redemption_value: str | None = None
    state: Literal["ACTIVE", "COMPLETED", "EXPIRED", "INACTIVE"] | None = None
    subheader: LocalizedString | None = None
    text_modules_data: list[TextModuleData] | None = None
    valid_time_interval: TimeInterval | None = None
    value_added_module_data: list[ValueAddedModuleData] | None = None
    wide_logo: Image | None = None


class GiftCardClass(GoogleModel):
    allow_barcode_redemption: bool | None = None
    allow_multiple_users_per_object: bool | None = None
    app_link_data: AppLinkData | None = None
    callback_options: CallbackOptions | None = None
    card_number_label: str | None = None
    class_template_info: ClassTemplateInfo | None = None
    country_code: str | None = None
    enable_smart_tap: bool | None = None
    event_number_label: str | None = None
    hero_image: Image | None = None
    hex_background_color: str | None = None
    homepage_uri: Uri | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    info_module_data: InfoModuleData | None = None
    issuer_name: str
    links_module_data: LinksModuleData | None = None
    localized_card_number_label: LocalizedString | None = None
    localized_event_number_label: LocalizedString | None = None
    localized_issuer_name: LocalizedString | None = None
    localized_merchant_name: LocalizedString | None = None
    localized_pin_label: LocalizedString | None = None
    locations: list[LatLongPoint] | None = None
    merchant_locations: list[MerchantLocation] | None = None
    merchant_name: str | None = None
    messages: list[Message] | None = None
    multiple_devices_and_holders_allowed_status: (
        Literal["MULTIPLE_HOLDERS", "ONE_USER_ALL_DEVICES", "ONE_USER_ONE_DEVICE"] | None
    ) = None
    notify_preference: Literal["NOTIFY_ON_UPDATE"] | None = None
    pin_label: str | None = None
    program_logo: Image | None = None
    redemption_issuers: list[Int64Text] | None = None
    review_status: Literal["UNDER_REVIEW", "APPROVED", "REJECTED", "DRAFT"]
    security_animation: SecurityAnimation | None = None
    text_modules_data: list[TextModuleData] | None = None
    value_added_module_data: list[ValueAddedModuleData] | None = None
    view_unlock_requirement: Literal["UNLOCK_NOT_REQUIRED", "UNLOCK_REQUIRED_TO_VIEW"] | None = None
    wide_program_logo: Image | None = None
    word_mark: Image | None = None


class GiftCardObject(GoogleModel):
    app_link_data: AppLinkData | None = None
    balance: Money | None = None
    balance_update_time: DateTime | None = None
    barcode: Barcode | None = None
    card_number: str
    class_id: str
    disable_expiration_notification: bool | None = None
    event_number: str | None = None
    grouping_info: GroupingInfo | None = None
    hero_image: Image | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    info_module_data: InfoModuleData | None = None
    linked_object_ids: list[str] | None = None
    links_module_data: LinksModuleData | None = None
    locations: list[LatLongPoint] | None = None
    merchant_locations: list[MerchantLocation] | None = None
    messages: list[Message] | None = None
    notify_preference: Literal["NOTIFY_ON_UPDATE"] | None = None
    pass_constraints: PassConstraints | None = None
    pin: str | None = None
    rotating_barcode: RotatingBarcode | None = None
    save_restrictions: SaveRestrictions | None = None
    smart_tap_redemption_value: str | None = None
    state: Literal["ACTIVE", "COMPLETED", "EXPIRED", "INACTIVE"]
    text_modules_data: list[TextModuleData] | None = None
    valid_time_interval: TimeInterval | None = None
    value_added_module_data: list[ValueAddedModuleData] | None = None


class GroupingInfo(GoogleModel):
    grouping_id: str | None = None
    sort_index: Int32 | None = None


class Image(GoogleModel):
    content_description: LocalizedString | None = None
    private_image_id: str | None = None
    source_uri: ImageUri | None = None


class ImageModuleData(GoogleModel):
    id: str | None = None
    main_image: Image | None = None


class ImageUri(GoogleModel):
    description: str | None = None
    localized_description: LocalizedString | None = None
    uri: str | None = None


class InfoModuleData(GoogleModel):
    label_value_rows: list[LabelValueRow] | None = None
    show_last_update_time: bool | None = None


class LabelValue(GoogleModel):
    label: str | None = None
    localized_label: LocalizedString | None = None
    localized_value: LocalizedString | None = None
    value: str | None = None


class LabelValueRow(GoogleModel):
    columns: list[LabelValue] | None = None


class LatLongPoint(GoogleModel):
    latitude: Double | None = None
    longitude: Double | None = None


class LinksModuleData(GoogleModel):
    uris: list[Uri] | None = None


class ListTemplateOverride(GoogleModel):
    first_row_option: FirstRowOption | None = None
    second_row_option: FieldSelector | None = None
    third_row_option: FieldSelector | None = None


class LocalizedString(GoogleModel):
    default_value: TranslatedString | None = None
    translated_values: list[TranslatedString] | None = None


class LoyaltyClass(GoogleModel):
    account_id_label: str | None = None
    account_name_label: str | None = None
    allow_multiple_users_per_object: bool | None = None
    app_link_data: AppLinkData | None = None
    callback_options: CallbackOptions | None = None
    class_template_info: ClassTemplateInfo | None = None
    country_code: str | None = None
    discoverable_program: DiscoverableProgram | None = None
    enable_smart_tap: bool | None = None
    hero_image: Image | None = None
    hex_background_color: str | None = None
    homepage_uri: Uri | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    info_module_data: InfoModuleData | None = None
    issuer_name: str
    links_module_data: LinksModuleData | None = None
    localized_account_id_label: LocalizedString | None = None
    localized_account_name_label: LocalizedString | None = None
    localized_issuer_name: LocalizedString | None = None
    localized_program_name: LocalizedString | None = None
    localized_rewards_tier: LocalizedString | None = None
    localized_rewards_tier_label: LocalizedString | None = None
    localized_secondary_rewards_tier: LocalizedString | None = None
    localized_secondary_rewards_tier_label: LocalizedString | None = None
    locations: list[LatLongPoint] | None = None
    merchant_locations: list[MerchantLocation] | None = None
    messages: list[Message] | None = None
    multiple_devices_and_holders_allowed_status: (
        Literal["MULTIPLE_HOLDERS", "ONE_USER_ALL_DEVICES", "ONE_USER_ONE_DEVICE"] | None
    ) = None
    notify_preference: Literal["NOTIFY_ON_UPDATE"] | None = None
    program_logo: Image
    program_name: str
    redemption_issuers: list[Int64Text] | None = None
    review_status: Literal["UNDER_REVIEW", "APPROVED", "REJECTED", "DRAFT"]
    rewards_tier: str | None = None
    rewards_tier_label: str | None = None
    secondary_rewards_tier: str | None = None
    secondary_rewards_tier_label: str | None = None
    security_animation: SecurityAnimation | None = None
    text_modules_data: list[TextModuleData] | None = None
    value_added_module_data: list[ValueAddedModuleData] | None = None
    view_unlock_requirement: Literal["UNLOCK_NOT_REQUIRED", "UNLOCK_REQUIRED_TO_VIEW"] | None = None
    wide_program_logo: Image | None = None
    word_mark: Image | None = None


class LoyaltyObject(GoogleModel):
    account_id: str | None = None
    account_name: str | None = None
    app_link_data: AppLinkData | None = None
    barcode: Barcode | None = None
    class_id: str
    disable_expiration_notification: bool | None = None
    grouping_info: GroupingInfo | None = None
    hero_image: Image | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    info_module_data: InfoModuleData | None = None
    linked_object_ids: list[str] | None = None
    linked_offer_ids: list[str] | None = None
    links_module_data: LinksModuleData | None = None
    locations: list[LatLongPoint] | None = None
    loyalty_points: LoyaltyPoints | None = None
    merchant_locations: list[MerchantLocation] | None = None
    messages: list[Message] | None = None
    notify_preference: Literal["NOTIFY_ON_UPDATE"] | None = None
    pass_constraints: PassConstraints | None = None
    rotating_barcode: RotatingBarcode | None = None
    save_restrictions: SaveRestrictions | None = None
    secondary_loyalty_points: LoyaltyPoints | None = None
    smart_tap_redemption_value: str | None = None
    state: Literal["ACTIVE", "COMPLETED", "EXPIRED", "INACTIVE"]
    text_modules_data: list[TextModuleData] | None = None
    valid_time_interval: TimeInterval | None = None
    value_added_module_data: list[ValueAddedModuleData] | None = None


class LoyaltyPoints(GoogleModel):
    balance: LoyaltyPointsBalance
    label: str | None = None
    localized_label: LocalizedString | None = None


class LoyaltyPointsBalance(GoogleModel):
    double: Double | None = None
    int_: Int32 | None = Field(default=None, alias="int")
    money: Money | None = None
    string: str | None = None


class MerchantLocation(GoogleModel):
    latitude: Double | None = None
    longitude: Double | None = None


class Message(GoogleModel):
    body: str | None = None
    display_interval: TimeInterval | None = None
    header: str | None = None
    id: str | None = None
    localized_body: LocalizedString | None = None
    localized_header: LocalizedString | None = None
    message_type: Literal["TEXT", "EXPIRATION_NOTIFICATION", "TEXT_AND_NOTIFY"] | None = None


class ModuleViewConstraints(GoogleModel):
    display_interval: TimeInterval | None = None


class Money(GoogleModel):
    currency_code: str | None = None
    micros: Int64Text | None = None


class Notifications(GoogleModel):
    expiry_notification: ExpiryNotification | None = None
    upcoming_notification: UpcomingNotification | None = None


class OfferClass(GoogleModel):
    allow_multiple_users_per_object: bool | None = None
    app_link_data: AppLinkData | None = None
    callback_options: CallbackOptions | None = None
    class_template_info: ClassTemplateInfo | None = None
    country_code: str | None = None
    details: str | None = None
    enable_smart_tap: bool | None = None
    fine_print: str | None = None
    help_uri: Uri | None = None
    hero_image: Image | None = None
    hex_background_color: str | None = None
    homepage_uri: Uri | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    info_module_data: InfoModuleData | None = None
    issuer_name: str
    links_module_data: LinksModuleData | None = None
    localized_details: LocalizedString | None = None
    localized_fine_print: LocalizedString | None = None
    localized_issuer_name: LocalizedString | None = None
    localized_provider: LocalizedString | None = None
    localized_short_title: LocalizedString | None = None
    localized_title: LocalizedString | None = None
    locations: list[LatLongPoint] | None = None
    merchant_locations: list[MerchantLocation] | None = None
    messages: list[Message] | None = None
    multiple_devices_and_holders_allowed_status: (
        Literal["MULTIPLE_HOLDERS", "ONE_USER_ALL_DEVICES", "ONE_USER_ONE_DEVICE"] | None
    ) = None
    notify_preference: Literal["NOTIFY_ON_UPDATE"] | None = None
    provider: str
    redemption_channel: Literal["INSTORE", "ONLINE", "BOTH", "TEMPORARY_PRICE_REDUCTION"]
    redemption_issuers: list[Int64Text] | None = None
    review_status: Literal["UNDER_REVIEW", "APPROVED", "REJECTED", "DRAFT"]
    security_animation: SecurityAnimation | None = None
    short_title: str | None = None
    text_modules_data: list[TextModuleData] | None = None
    title: str
    title_image: Image | None = None
    value_added_module_data: list[ValueAddedModuleData] | None = None
    view_unlock_requirement: Literal["UNLOCK_NOT_REQUIRED", "UNLOCK_REQUIRED_TO_VIEW"] | None = None
    wide_title_image: Image | None = None
    word_mark: Image | None = None


class OfferObject(GoogleModel):
    app_link_data: AppLinkData | None = None
    barcode: Barcode | None = None
    class_id: str
    disable_expiration_notification: bool | None = None
    grouping_info: GroupingInfo | None = None
    hero_image: Image | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    info_module_data: InfoModuleData | None = None
    linked_object_ids: list[str] | None = None
    links_module_data: LinksModuleData | None = None
    locations: list[LatLongPoint] | None = None
    merchant_locations: list[MerchantLocation] | None = None
    messages: list[Message] | None = None
    notify_preference: Literal["NOTIFY_ON_UPDATE"] | None = None
    pass_constraints: PassConstraints | None = None
    rotating_barcode: RotatingBarcode | None = None
    save_restrictions: SaveRestrictions | None = None
    smart_tap_redemption_value: str | None = None
    state: Literal["ACTIVE", "COMPLETED", "EXPIRED", "INACTIVE"]
    text_modules_data: list[TextModuleData] | None = None
    valid_time_interval: TimeInterval | None = None
    value_added_module_data: list[ValueAddedModuleData] | None = None


class PassConstraints(GoogleModel):
    nfc_constraint: list[Literal["BLOCK_PAYMENT", "BLOCK_CLOSED_LOOP_TRANSIT"]] | None = None
    screenshot_eligibility: Literal["ELIGIBLE", "INELIGIBLE"] | None = None


class PurchaseDetails(GoogleModel):
    account_id: str | None = None
    confirmation_code: str | None = None
    purchase_date_time: str | None = None
    purchase_receipt_number: str | None = None
    ticket_cost: TicketCost | None = None


class ReservationInfo(GoogleModel):
    confirmation_code: str | None = None
    eticket_number: str | None = None
    frequent_flyer_info: FrequentFlyerInfo | None = None


class RotatingBarcode(GoogleModel):
    alternate_text: str | None = None
    initial_rotating_barcode_values: RotatingBarcodeValues | None = None
    render_encoding: Literal["UTF_8"] | None = None
    show_code_text: LocalizedString | None = None
    totp_details: RotatingBarcodeTotpDetails | None = None
    type: (
        Literal[
            "AZTEC",
            "CODE_39",
            "CODE_128",
            "CODABAR",
            "DATA_MATRIX",
            "EAN_8",
            "EAN_13",
            "ITF_14",
            "PDF_417",
            "QR_CODE",
            "UPC_A",
            "TEXT_ONLY",
        ]
        | None
    ) = None
    value_pattern: str | None = None


class RotatingBarcodeTotpDetails(GoogleModel):
    algorithm: Literal["TOTP_SHA1"] | None = None
    parameters: list[RotatingBarcodeTotpDetailsTotpParameters] | None = None
    period_millis: Int64Text | None = None


class RotatingBarcodeTotpDetailsTotpParameters(GoogleModel):
    key: str | None = None
    value_length: Int32 | None = None


class RotatingBarcodeValues(GoogleModel):
    period_millis: Int64Text
    start_date_time: str
    values: list[str]


class SaveRestrictions(GoogleModel):
    restrict_to_email_sha256: str | None = None


class SecurityAnimation(GoogleModel):
    animation_type: Literal["FOIL_SHIMMER"] | None = None


class TemplateItem(GoogleModel):
    first_value: FieldSelector | None = None
    predefined_item: (
        Literal[
            "FREQUENT_FLYER_PROGRAM_NAME_AND_NUMBER", "FLIGHT_NUMBER_AND_OPERATING_FLIGHT_NUMBER"
        ]
        | None
    ) = None
    second_value: FieldSelector | None = None


class TextModuleData(GoogleModel):
    body: str | None = None
    header: str | None = None
    id: str | None = None
    localized_body: LocalizedString | None = None
    localized_header: LocalizedString | None = None


class TicketCost(GoogleModel):
    discount_message: LocalizedString | None = None
    face_value: Money | None = None
    purchase_price: Money | None = None


class TicketLeg(GoogleModel):
    arrival_date_time: str | None = None
    carriage: str | None = None
    departure_date_time: str | None = None
    destination_name: LocalizedString | None = None
    destination_station_code: str | None = None
    fare_name: LocalizedString | None = None
    origin_name: LocalizedString | None = None
    origin_station_code: str | None = None
    platform: str | None = None
    ticket_seat: TicketSeat | None = None
    ticket_seats: list[TicketSeat] | None = None
    transit_operator_name: LocalizedString | None = None
    transit_terminus_name: LocalizedString | None = None
    zone: str | None = None


class TicketRestrictions(GoogleModel):
    other_restrictions: LocalizedString | None = None
    route_restrictions: LocalizedString | None = None
    route_restrictions_details: LocalizedString | None = None
    time_restrictions: LocalizedString | None = None


class TicketSeat(GoogleModel):
    coach: str | None = None
    custom_fare_class: LocalizedString | None = None
    fare_class: Literal["ECONOMY", "FIRST", "BUSINESS"] | None = None
    seat: str | None = None
    seat_assignment: LocalizedString | None = None


class TimeInterval(GoogleModel):
    end: DateTime | None = None
    start: DateTime | None = None


class TransitClass(GoogleModel):
    activation_options: ActivationOptions | None = None
    allow_multiple_users_per_object: bool | None = None
    app_link_data: AppLinkData | None = None
    callback_options: CallbackOptions | None = None
    class_template_info: ClassTemplateInfo | None = None
    country_code: str | None = None
    custom_carriage_label: LocalizedString | None = None
    custom_coach_label: LocalizedString | None = None
    custom_concession_category_label: LocalizedString | None = None
    custom_confirmation_code_label: LocalizedString | None = None
    custom_discount_message_label: LocalizedString | None = None
    custom_fare_class_label: LocalizedString | None = None
    custom_fare_name_label: LocalizedString | None = None
    custom_other_restrictions_label: LocalizedString | None = None
    custom_platform_label: LocalizedString | None = None
    custom_purchase_face_value_label: LocalizedString | None = None
    custom_purchase_price_label: LocalizedString | None = None
    custom_purchase_receipt_number_label: LocalizedString | None = None
    custom_route_restrictions_details_label: LocalizedString | None = None
    custom_route_restrictions_label: LocalizedString | None = None
    custom_seat_label: LocalizedString | None = None
    custom_ticket_number_label: LocalizedString | None = None
    custom_time_restrictions_label: LocalizedString | None = None
    custom_transit_terminus_name_label: LocalizedString | None = None
    custom_zone_label: LocalizedString | None = None
    enable_single_leg_itinerary: bool | None = None
    enable_smart_tap: bool | None = None
    hero_image: Image | None = None
    hex_background_color: str | None = None
    homepage_uri: Uri | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    info_module_data: InfoModuleData | None = None
    issuer_name: str
    language_override: str | None = None
    links_module_data: LinksModuleData | None = None
    localized_issuer_name: LocalizedString | None = None
    locations: list[LatLongPoint] | None = None
    logo: Image
    merchant_locations: list[MerchantLocation] | None = None
    messages: list[Message] | None = None
    multiple_devices_and_holders_allowed_status: (
        Literal["MULTIPLE_HOLDERS", "ONE_USER_ALL_DEVICES", "ONE_USER_ONE_DEVICE"] | None
    ) = None
    notify_preference: Literal["NOTIFY_ON_UPDATE"] | None = None
    redemption_issuers: list[Int64Text] | None = None
    review_status: Literal["UNDER_REVIEW", "APPROVED", "REJECTED", "DRAFT"]
    security_animation: SecurityAnimation | None = None
    text_modules_data: list[TextModuleData] | None = None
    transit_operator_name: LocalizedString | None = None
    transit_type: Literal["BUS", "RAIL", "TRAM", "FERRY", "OTHER"]
    value_added_module_data: list[ValueAddedModuleData] | None = None
    view_unlock_requirement: Literal["UNLOCK_NOT_REQUIRED", "UNLOCK_REQUIRED_TO_VIEW"] | None = None
    watermark: Image | None = None
    wide_logo: Image | None = None
    word_mark: Image | None = None


class TransitObject(GoogleModel):
    activation_status: ActivationStatus | None = None
    app_link_data: AppLinkData | None = None
    barcode: Barcode | None = None
    class_id: str
    concession_category: Literal["ADULT", "CHILD", "SENIOR"] | None = None
    custom_concession_category: LocalizedString | None = None
    custom_ticket_status: LocalizedString | None = None
    device_context: DeviceContext | None = None
    disable_expiration_notification: bool | None = None
    grouping_info: GroupingInfo | None = None
    hero_image: Image | None = None
    hex_background_color: str | None = None
    id: str
    image_modules_data: list[ImageModuleData] | None = None
    info_module_data: InfoModuleData | None = None
    linked_object_ids: list[str] | None = None
    links_module_data: LinksModuleData | None = None
    locations: list[LatLongPoint] | None = None
    merchant_locations: list[MerchantLocation] | None = None
    messages: list[Message] | None = None
    notify_preference: Literal["NOTIFY_ON_UPDATE"] | None = None
    pass_constraints: PassConstraints | None = None
    passenger_names: str | None = None
    passenger_type: Literal["SINGLE_PASSENGER", "MULTIPLE_PASSENGERS"] | None = None
    purchase_details: PurchaseDetails | None = None
    rotating_barcode: RotatingBarcode | None = None
    save_restrictions: SaveRestrictions | None = None
    smart_tap_redemption_value: str | None = None
    state: Literal["ACTIVE", "COMPLETED", "EXPIRED", "INACTIVE"]
    text_modules_data: list[TextModuleData] | None = None
    ticket_leg: TicketLeg | None = None
    ticket_legs: list[TicketLeg] | None = None
    ticket_number: str | None = None
    ticket_restrictions: TicketRestrictions | None = None
    ticket_status: Literal["USED", "REFUNDED", "EXCHANGED"] | None = None
    trip_id: str | None = None
    trip_type: Literal["ROUND_TRIP", "ONE_WAY"]
    valid_time_interval: TimeInterval | None = None
    value_added_module_data: list[ValueAddedModuleData] | None = None


class TranslatedString(GoogleModel):
    language: str | None = None
    value: str | None = None


class UpcomingNotification(GoogleModel):
    enable_notification: bool | None = None


class Uri(GoogleModel):
    description: str | None = None
    id: str | None = None
    localized_description: LocalizedString | None = None
    uri: str | None = None


class ValueAddedModuleData(GoogleModel):
    body: LocalizedString | None = None
    header: LocalizedString | None = None
    image: Image | None = None
    sort_index: Int32 | None = None
    uri: str | None = None
    view_constraints: ModuleViewConstraints | None = None


CLASS_MODELS: dict[str, type[GoogleModel]] = {
    "loyalty": LoyaltyClass,
    "giftCard": GiftCardClass,
    "offer": OfferClass,
    "eventTicket": EventTicketClass,
    "flight": FlightClass,
    "transit": TransitClass,
    "generic": GenericClass,
}

OBJECT_MODELS: dict[str, type[GoogleModel]] = {
    "loyalty": LoyaltyObject,
    "giftCard": GiftCardObject,
    "offer": OfferObject,
    "eventTicket": EventTicketObject,
    "flight": FlightObject,
    "transit": TransitObject,
    "generic": GenericObject,
}
