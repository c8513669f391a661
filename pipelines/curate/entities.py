"""The kinds of personal data that curation knows, in the order of precedence."""

# Where findings overlap without one holding the other, the earlier of these names the union.
PRIORITY = (
    "SECRET",
    "CREDIT_CARD",
    "KR_RRN",
    "US_SSN",
    "IBAN_CODE",
    "KR_PASSPORT",
    "KR_DRIVER_LICENSE",
    "KR_BRN",
    "EMAIL_ADDRESS",
    "URL",
    "PHONE_NUMBER",
    "NATIONAL_ID",
    "VEHICLE_PLATE",
    "IP_ADDRESS",
    "MAC_ADDRESS",
    "COORDINATES",
    "BIRTH_DATE",
    "USERNAME",
    "ADDRESS",
    "PERSON",
)
ENTITIES = frozenset(PRIORITY)
