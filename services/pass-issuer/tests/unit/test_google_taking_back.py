"""What is not said any more leaves Google too, by the simulator's own merge. proves: C10, J7"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from passferry_testing.google_simulator import GoogleSimulator
from passferry_testing.google_simulator.catalogue import TYPES
from passferry_wallet.google.objects import told as without_nulls
from passferry_wallet.google.taking_back import said_by_any, taking_back

ISSUER = "3388000000000012345"
OBJECT_ID, CLASS_ID = f"{ISSUER}.card-1", f"{ISSUER}.card"
NAMES = {"id": OBJECT_ID, "classId": CLASS_ID, "state": "ACTIVE"}


def objects(required=None, **optional):
    return st.fixed_dictionaries(required or {}, optional=optional)


WORD = st.sampled_from(["old", "new"])
WORDS = objects({"defaultValue": st.fixed_dictionaries({"language": WORD, "value": WORD})})
NUMBER = st.integers(0, 9)
BALANCE = st.one_of(
    objects({"int": NUMBER}),
    objects({"string": WORD}),
    objects({"money": st.just({"micros": "1000000", "currencyCode": "EUR"})}),
)
MEMBERS = {
    "barcode": objects({"type": st.just("QR_CODE"), "value": WORD}, alternateText=WORD, showCodeText=WORDS),
    "loyaltyPoints": objects({"balance": BALANCE}, label=WORD, localizedLabel=WORDS),
    "groupingInfo": objects(groupingId=WORD, sortIndex=NUMBER),
    "appLinkData": objects(
        displayText=WORDS,
        webAppLinkInfo=objects(
            appTarget=objects(packageName=WORD, targetUri=objects({"uri": WORD}, description=WORD))
        ),
    ),
    "textModulesData": st.lists(objects({"id": WORD}, body=WORD, header=WORD), max_size=2),
    "accountName": WORD,
}  # fmt: skip
#: Absent: of a version that has no such member. None: of a pass that has no value for it.
BODIES = st.fixed_dictionaries({}, optional={k: st.none() | v for k, v in MEMBERS.items()})


def catalogue_with_class():
    catalogue = GoogleSimulator().catalogue
    card = {
        "id": CLASS_ID,
        "issuerName": "Café",
        "programName": "Card",
        "programLogo": {"sourceUri": {"uri": "https://passes.example/logo.png"}},
        "reviewStatus": "UNDER_REVIEW",
    }
    catalogue.insert(TYPES["loyaltyclass"], card, issuer_id=ISSUER)
    return catalogue


@given(drawn=st.lists(st.tuples(BODIES, st.booleans()), min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_google_has_what_the_last_body_says_whichever_of_those_before_arrived(drawn):
    """The notifier skips revisions that a newer one overtakes; the last one always arrives."""
    kind, catalogue = TYPES["loyaltyobject"], catalogue_with_class()
    told, is_there = None, False
    for index, (members, arrives) in enumerate(drawn):
        body = NAMES | members
        told = body if told is None else taking_back("loyalty", "Object", told, body)
        if arrives or index == len(drawn) - 1:
            if is_there:
                held = catalogue.patch(kind, OBJECT_ID, told, issuer_id=ISSUER)
            else:
                held, is_there = catalogue.insert(kind, told, issuer_id=ISSUER), True
    assert held.body == without_nulls(NAMES | drawn[-1][0])


@given(bodies=st.lists(st.tuples(BODIES, st.booleans()), min_size=1, max_size=4), last=BODIES)
@settings(max_examples=100, deadline=None)
def test_a_class_takes_back_what_any_earlier_version_said_whichever_arrived(bodies, last):
    kind, catalogue, said = TYPES["loyaltyobject"], catalogue_with_class(), []
    for members, arrives in [*bodies, (last, True)]:
        told = taking_back("loyalty", "Object", said_by_any(said), NAMES | members)
        if not said:
            held = catalogue.insert(kind, told, issuer_id=ISSUER)
        elif arrives:
            held = catalogue.patch(kind, OBJECT_ID, told, issuer_id=ISSUER)
        said.append(NAMES | members)
    assert held.body == without_nulls(NAMES | last)


def test_what_others_put_into_an_object_stays():
    kind, catalogue = TYPES["loyaltyobject"], catalogue_with_class()
    first = NAMES | {"barcode": {"type": "QR_CODE", "value": "1"}}
    catalogue.insert(kind, first, issuer_id=ISSUER)
    message = {"id": "m-1", "header": "Hello", "body": "There"}
    catalogue.add_message(kind, OBJECT_ID, {"message": message}, issuer_id=ISSUER)
    told = taking_back("loyalty", "Object", first, NAMES)
    held = catalogue.patch(kind, OBJECT_ID, told, issuer_id=ISSUER)
    assert held.body == NAMES | {"messages": [message]}
