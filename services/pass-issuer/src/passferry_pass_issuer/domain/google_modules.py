"""Modules, barcodes and rules that every vertical has, in Google's own names."""

from __future__ import annotations

from typing import Any

from passferry_pass_issuer.domain.google_template import GoogleContent, Words
from passferry_pass_issuer.domain.google_words import localised, say
from passferry_pass_issuer.domain.value_expression import ValueExpression

#: The formats of a template to Google's types.
BARCODE_TYPES = {
    "qr": "QR_CODE",
    "pdf417": "PDF_417",
    "aztec": "AZTEC",
    "data_matrix": "DATA_MATRIX",
    "code128": "CODE_128",
    "code39": "CODE_39",
    "codabar": "CODABAR",
    "ean13": "EAN_13",
    "ean8": "EAN_8",
    "upc_a": "UPC_A",
    "itf14": "ITF_14",
    "text_only": "TEXT_ONLY",
}

Tree = dict[str, Any]


def barcode(tree: Tree, google: GoogleContent) -> None:
    content = google.barcode
    if content is None:
        return
    code: Tree = {
        "type": BARCODE_TYPES[content.format],
        "value": content.message,
        "renderEncoding": "UTF_8",
    }
    if content.alternate_text is not None:
        code["alternateText"] = content.alternate_text
    if isinstance(content.show_code_text, Words):
        code["showCodeText"] = localised(content.show_code_text, google.language)
    elif content.show_code_text is not None:
        code["showCodeText"] = content.show_code_text
    tree["barcode"] = code


def rotating_barcode(tree: Tree, google: GoogleContent) -> None:
    content = google.rotating_barcode
    if content is None:
        return
    code: Tree = {
        "type": BARCODE_TYPES[content.format],
        "renderEncoding": "UTF_8",
        "valuePattern": content.value_pattern,
        "totpDetails": {
            "periodMillis": str(content.period_ms),
            "algorithm": "TOTP_SHA1",
            "parameters": [
                {"key": key, "valueLength": content.value_length} for key in content.keys
            ],
        },
    }
    if content.alternate_text is not None:
        code["alternateText"] = content.alternate_text
    tree["rotatingBarcode"] = code


def text_modules(tree: Tree, google: GoogleContent) -> None:
    modules = tree.setdefault("textModulesData", [])
    for each in google.text_modules:
        module: Tree = {"id": each.key}
        say(module, "header", each.header, google.language)
        if isinstance(each.body, Words):
            say(module, "body", each.body, google.language)
        else:
            module["body"] = each.body
        modules.append(module)
    if not modules:
        del tree["textModulesData"]


def links(tree: Tree, google: GoogleContent, *, of_class: bool) -> None:
    uris = []
    for each in google.links:
        if is_constant(each.address) is not of_class:
            continue
        uri: Tree = {"id": each.key, "uri": _value(each.address)}
        say(uri, "description", each.description, google.language)
        uris.append(uri)
    if uris:
        tree["linksModuleData"] = {"uris": uris}


def image_modules(tree: Tree, google: GoogleContent, *, of_class: bool) -> None:
    modules = []
    for each in google.image_modules:
        if is_constant(each.address) is not of_class:
            continue
        image: Tree = {"sourceUri": {"uri": _value(each.address)}}
        if each.description is not None:
            image["contentDescription"] = localised(each.description, google.language)
        modules.append({"id": each.key, "mainImage": image})
    if modules:
        tree["imageModulesData"] = modules


def class_messages(tree: Tree, google: GoogleContent) -> None:
    messages = []
    for each in google.messages:
        message: Tree = {"id": each.key, "messageType": "TEXT"}
        say(message, "header", each.header, google.language)
        say(message, "body", each.body, google.language)
        sides = {"start": each.start, "end": each.end}
        shown = {side: {"date": date} for side, date in sides.items() if date is not None}
        if shown:
            message["displayInterval"] = shown
        messages.append(message)
    if messages:
        tree["messages"] = messages


def locations(tree: Tree, google: GoogleContent) -> None:
    if google.locations:
        tree["merchantLocations"] = [
            {"latitude": float(latitude), "longitude": float(longitude)}
            for latitude, longitude in google.locations
        ]


def app_link(tree: Tree, google: GoogleContent) -> None:
    content = google.app_link
    if content is None:
        return
    data: Tree = {}
    if content.display_text is not None:
        data["displayText"] = localised(content.display_text, google.language)
    android: Tree = {}
    if content.android_uri is not None:
        android["targetUri"] = {"uri": _value(content.android_uri)}
    if content.android_package is not None:
        android["packageName"] = content.android_package
    if android:
        data["androidAppLinkInfo"] = {"appTarget": android}
    if content.web_uri is not None:
        data["webAppLinkInfo"] = {"appTarget": {"targetUri": {"uri": _value(content.web_uri)}}}
    tree["appLinkData"] = data


def smart_tap_value(tree: Tree, google: GoogleContent) -> None:
    if google.smart_tap is not None:
        tree["smartTapRedemptionValue"] = google.smart_tap.value


def grouping(tree: Tree, google: GoogleContent) -> None:
    if google.grouping is None:
        return
    tree["groupingInfo"] = {"groupingId": google.grouping.group}
    if google.grouping.sort_index is not None:
        tree["groupingInfo"]["sortIndex"] = google.grouping.sort_index


def notifications(tree: Tree, google: GoogleContent) -> None:
    asked = google.notifications
    if asked is None:
        return
    told: Tree = {}
    if asked.expiry:
        told["expiryNotification"] = {"enableNotification": True}
    if asked.upcoming:
        told["upcomingNotification"] = {"enableNotification": True}
    if told:
        tree["notifications"] = told


def pass_constraints(tree: Tree, google: GoogleContent) -> None:
    constraints: Tree = {}
    if google.are_screenshots_allowed is not None:
        word = "ELIGIBLE" if google.are_screenshots_allowed else "INELIGIBLE"
        constraints["screenshotEligibility"] = word
    if google.nfc_constraint:
        constraints["nfcConstraint"] = list(google.nfc_constraint)
    if constraints:
        tree["passConstraints"] = constraints


def is_constant(expression: ValueExpression) -> bool:
    return expression.source == "text"


def _value(expression: ValueExpression) -> str | ValueExpression:
    """A constant by itself, so that it is checked when the template is published."""
    return expression.text if is_constant(expression) else expression
