"""Addresses of Poland and the Czech Republic, of Sweden, Denmark, Norway and Finland.

ul. Marszałkowska 12/4, 00-590 Warszawa   os. Tysiąclecia 87   Vinohradská 1511/230, 100 00 Praha 10   Drottninggatan 67, 111 51 Stockholm   Vesterbrogade 27, 2. tv, 1620 København V
"""

from pipelines.curate.recognizers.address_form import AddressForm

_CAP = r"\p{Lu}[\p{L}.'’\-]{1,24}"
_CITY = rf"{_CAP}(?:[ \-](?:nad|pod|na|przy|{_CAP})){{0,3}}(?:\s(?:\d{{1,2}}|[A-ZØ]{{1,2}})(?![\p{{L}}\d]))?"
_COMMA = r"(?:\s?,[ ]{0,2}|[ ]|,?[ ]?\n[ ]{0,4})"
_COUNTRY = r",?\s(?:Polska|Poland|Česko|Česká republika|Czech Republic|Czechia|Sverige|Sweden|Danmark|Denmark|Norge|Norway|Suomi|Finland)(?!\p{L})"
_NUMBER = r"\d{1,4}\s?[A-Za-z]?(?![\p{L}\d])(?:\s?/\s?\d{1,4}[A-Za-z]?(?!\d))?"
_POLISH = r"(?i:ul\.|ulic[aąeęy]|al\.|alej[aeiąę]|alejach|os\.|osiedl[aeu]|pl\.|plac(?:u|em)?|rondo|skwer|bulwar|rynek)"
_POLISH_NAME = r"(?:(?:św|gen|płk|ks|dr|prof|im|bp|kard|mjr|kpt|abp|hr|o)\.?\s|\d{1,2}(?:-go)?\s(?=\p{Lu})|(?:i|na|pod|nad)\s|\p{Lu}[\p{L}.\-]{0,24}\s){1,5}?"
_POLISH_UNIT = r",?\s?(?:m\.|lok\.?|mieszk(?:anie|\.)|m(?=\s?\d)|klatka|piętro)\s?\d{1,4}[A-Za-z]?(?!\d)"
_STREET = r"\p{Lu}\p{L}{1,24}(?:gatan|gata|vägen|väg|gränd|torget|backen|stigen|stranden|gade|gaden|vej|vejen|stræde|plads|veien|vei|katu|kuja|polku|kaari|esplanadi)"
_UNIT = r",?\s(?:\d{1,2}\.?\s?(?:tv|th|mf|sal)\.?(?:\s(?:tv|th|mf)\.?)?|st\.?\s(?:tv|th|mf)\.?|lgh\s\d{3,4}|[A-Z]\s\d{1,3}|H\d{4})(?![\p{L}\d])"
_NORDIC_TOWN = rf"{_COMMA}(?:[A-Z]{{1,2}}-)?(?:\d{{3}}[ ]?\d{{2}}|\d{{4}})\s{_CITY}"
FORMS = (
    AddressForm("Polish", rf"(?<![\p{{L}}]){_POLISH}\s?{_POLISH_NAME}{_NUMBER}", (rf"\d{{2}}-\d{{3}}\s{_CITY},\s",), (_POLISH_UNIT, rf"{_COMMA}\d{{2}}-\d{{3}}\s{_CITY}", rf",\s{_CITY}(?=[.,;\n]|$)", _COUNTRY), hint=r"(?i:ul\.|ulic|al\.|alej|os\.|osiedl|pl\.|plac|rondo|skwer|bulwar|rynek)"),
    AddressForm("Polish, with its postcode", rf"(?<![\p{{L}}])(?:{_CAP}\s){{1,3}}{_NUMBER}(?={_COMMA}\d{{2}}-\d{{3}}\s\p{{Lu}})", (), (_POLISH_UNIT, rf"{_COMMA}\d{{2}}-\d{{3}}\s{_CITY}", _COUNTRY), hint=r"\d{2}-\d{3}\s\p{Lu}"),
    AddressForm("Czech", rf"(?<![\p{{L}}])(?:(?:ul\.|ulice|nám\.|náměstí|třída|tř\.)\s)?(?:{_CAP}\s){{1,3}}\d{{1,4}}(?:/\d{{1,4}}[a-z]?)?(?={_COMMA}\d{{3}}\s\d{{2}}\s\p{{Lu}})", (), (rf"{_COMMA}\d{{3}}\s\d{{2}}\s{_CITY}", _COUNTRY), hint=r"\d{3}\s\d{2}\s\p{Lu}"),
    AddressForm("Nordic", rf"(?<![\p{{L}}\-])(?:{_CAP}\s){{0,2}}{_STREET}\s{_NUMBER}", (), (_UNIT, _NORDIC_TOWN, _COUNTRY), hint=r"\s\d(?<=(?:gatan|gata|väg|vägen|gränd|torget|backen|stigen|stranden|gade|gaden|vej|vejen|stræde|plads|veien|vei|katu|kuja|polku|kaari|esplanadi)\s\d)"),
    AddressForm("Nordic, with its town", rf"(?<![\p{{L}}\-])(?:{_CAP}\s){{1,3}}(?:gate|gata|allé|plass|tie|torv)\s{_NUMBER}(?={_NORDIC_TOWN})", (), (_UNIT, _NORDIC_TOWN, _COUNTRY), hint=r"(?:gate|gata|allé|plass|tie|torv)\s\d"),
)  # fmt: skip
