"""Addresses of Germany, Austria and Switzerland, France, Spain, Italy, Portugal and the Netherlands.

    An der Alten Mühle 7a, 34117 Kassel   12 bis, rue de la Paix, 75002 Paris   C/ Mayor 3, 2º B   Via Roma 12, 00184 Roma   Prinsengracht 263, 1016 GV Amsterdam

Read after normalising: º and ª have become o and a.
"""

from pipelines.curate.recognizers.address_form import AddressForm

_CAP = r"\p{Lu}[\p{L}.'’\-]{1,24}"
_CITY = rf"{_CAP}(?:[ \-/](?:am|an|an der|im|in|in der|bei|vor der|ob der|a\.\s?d\.|sur|sous|en|la|le|les|de|del|della|d['’]|L['’]|der|den|{_CAP})){{0,4}}"
_COUNTRY = r",?\s(?:Deutschland|Germany|Österreich|Austria|Schweiz|Switzerland|France|Frankreich|España|Spain|Italia|Italy|Portugal|Nederland|Netherlands|Belgique|Belgium)(?!\p{L})"
_COMMA = r"(?:\s?[,\-–]?[ ]{1,2}|,?[ ]?\n[ ]{0,4})"
_FIVE = rf"{_COMMA}(?:[A-Z]{{1,2}}-)?\d{{4,5}}\s{_CITY}(?:\s?\([A-Z]{{2}}\)|\s(?i:cedex)(?:\s\d{{1,2}})?)?"
_SUFFIX = r"(?:stra(?:ß|ss)e|str\.?|weg|allee|platz|gasse|gässchen|ring|damm|ufer|chaussee|steig|stieg|graben|markt|pfad|promenade|zeile|kamp|wall|twiete|terrasse|anger)"
_WORD = r"(?:Stra(?:ß|ss)e|Str\.|Weg|Allee|Platz|Gasse|Ring|Damm|Ufer|Chaussee|Markt|Steig)"
_HOUSE = r"\d{1,4}(?:\s?[a-zA-Z](?![\p{L}]))?(?:\s?[\-–/+]\s?\d{1,4}\s?[a-z]?(?!\p{L}))?(?!\d|\.\d)(?!\s?(?:Uhr|km|Euro|%|Meter|Minuten|Prozent)\b)"
_PREPOSITION = r"(?:Am|An der|An den|Auf dem|Auf der|Auf den|Im|In der|In den|In dem|Zum|Zur|Unter den|Unter der|Hinter der|Hinter dem|Bei der|Beim|Vor dem|Vor der|Alter|Alte|Neuer|Neue|Großer|Große|Kleine|Kleiner)"
_FRENCH = r"(?i:rue|avenue|av\.|ave\.|boulevard|boul\.|bd\.?|blvd\.?|place|pl\.|chemin|allée|allee|impasse|quai|cours|passage|route|square|villa|faubourg|sentier|esplanade|ruelle|montée|promenade|cité|résidence|rond-point|lotissement|hameau|mail)"
_FRENCH_NAME = r"(?:(?:(?:de la|des|du|de|la|le|les|et|en|sur|aux|au|à|sous)\s|(?:de\s)?[ldLD]['’]){0,3}(?:\p{Lu}|\d)[\p{L}\d'’.\-]{0,20}(?:\s(?=\p{Lu}|(?:de|du|des|la|le|les|et|sur)\s|[ld]['’]))?){1,5}"
_SPANISH = r"(?:C/|c/|C\.|Calle|calle|Cl\.|Avda?\.?|Avenida|avenida|Av\.|Paseo|paseo|Po\.?|P\.o|Plaza|plaza|Pza\.?|Plz\.?|Pl\.|Carretera|carretera|Ctra\.?|Camino|camino|Ronda|Travesía|Glorieta|Rambla|Carrer|Passeig|Gran Vía|Urbanización|Urb\.)"
_SPANISH_NAME = (
    r"(?:(?:de las|de los|de la|de|del|la|las|los|el|y|i|d['’])\s|(?:\p{Lu}[\p{L}.'’\-]{0,20}|\d{1,2})\s?){1,6}?"
)
_SPANISH_UNIT = r",?\s(?:\d{1,2}o?\sandar|\d{1,2}(?:n|r|t|è|er)\s\d{1,2}a|\d{1,2}[o°.]{0,2}\s?-?\s?(?:[A-Z](?!\p{L})|izquierda|izda?\.?|izq\.?|derecha|dcha?\.?|centro|\d{1,2}[a°.]{0,2}|puerta \w{1,2})|\d{1,2}[o°](?!\p{L})|bajo(?:\s[A-Z](?!\p{L}))?|[aá]tico|entresuelo|principal|piso\s\d{1,2}(?:o|°)?(?:\s?[A-Z](?!\p{L}))?|puerta\s\w{1,3}|esc(?:alera|\.)\s\w{1,3}|portal\s\w{1,3}|local\s\w{1,3})"
_FRENCH_UNIT = r",?\s(?:(?i:appartement|appt\.?|apt\.?|bâtiment|bât\.?|bat\.?|étage|escalier|esc\.|porte|résidence)\s[A-Z\d]\w{0,4}|\d{1,2}(?:er|e|ème)\sétage)"
_GERMAN_UNIT = r",?\s(?:\d{1,2}\.\s?(?:OG|UG|Stock|Etage|Obergeschoss)(?:\s(?:links|rechts|mitte|li\.|re\.|Mitte))?|EG(?:\s(?:links|rechts))?|DG|Erdgeschoss|Hinterhaus|Vorderhaus|Wohnung\s\w{1,4}|App(?:artement|\.)?\s\w{1,4})(?!\p{L})"
_ITALIAN = r"(?:Via|via|Viale|viale|Piazza|piazza|Corso|corso|Largo|Vicolo|Strada|Piazzale|Lungomare|Rua|rua|Travessa|Alameda|Praça|Largo|Estrada|Rodovia)"
_BRAZIL = (
    rf"\s-\s{_CITY}",
    rf",\s{_CITY}(?=,\s{_CITY}\s?[-/]\s?[A-Z]{{2}}(?!\p{{L}}))",
    rf",\s{_CITY}(?=\s?[-/]\s?[A-Z]{{2}}(?!\p{{L}}))",
    r"\s?[-/]\s?[A-Z]{2}(?!\p{L})",
    r"(?:,|\s-)?\s(?:CEP:?\s)?\d{5}-\d{3}(?!\d)",
)
FORMS = (
    AddressForm("German", rf"(?<![\p{{L}}\-])(?:(?:\p{{Lu}}[\p{{L}}.]{{1,20}}[ \-]){{0,3}}\p{{Lu}}[\p{{L}}\-]{{1,30}}{_SUFFIX}|(?:\p{{Lu}}[\p{{L}}.]{{1,20}}[ \-]){{1,4}}{_WORD}|Unter den Linden)\s{_HOUSE}", (rf"(?<![\p{{L}}\d])(?:[A-Z]{{1,2}}-)?\d{{5}}\s{_CITY},\s",), (_FIVE, _GERMAN_UNIT, _COUNTRY), hint=r"\s\d(?<=(?:str\.?|[Ss]tra(?:ß|ss)e|Str\.|weg|allee|platz|gasse|gässchen|ring|damm|ufer|chaussee|steig|stieg|graben|markt|pfad|promenade|zeile|kamp|wall|twiete|terrasse|anger|Linden|Weg|Allee|Platz|Gasse|Ring|Damm|Ufer|Chaussee|Markt|Steig)\s\d)"),
    AddressForm("German, with its town", rf"(?<![\p{{L}}\-])(?:{_PREPOSITION}\s)?(?:\p{{Lu}}[\p{{L}}\-]{{1,30}}\s){{1,3}}{_HOUSE}(?={_COMMA}(?:[DA]-)?\d{{5}}\s\p{{Lu}}\p{{L}}{{2}})", (), (_FIVE, _GERMAN_UNIT, _COUNTRY), hint=r"\d{5}\s\p{Lu}"),
    AddressForm("French", rf"(?<![\w.])\d{{1,4}}(?:\s?(?:bis|ter|quater|[A-D]\b))?(?:\s?[-/]\s?\d{{1,4}})?,?\s{_FRENCH}\s{_FRENCH_NAME}", (), (_FIVE, _FRENCH_UNIT, _COUNTRY), hint=r"\d(?:\s?(?:bis|ter|quater|[A-D]))?,?\s\p{L}{2}"),
    AddressForm("Spanish", rf"(?<![\p{{L}}]){_SPANISH}\s?{_SPANISH_NAME}(?:,\s?|\s)?(?<=[\s,])(?:n[o°.]{{0,2}}\s?|núm\.?\s?)?\d{{1,4}}(?!\d|[.,]\d)(?:\s?(?:bis|[A-C](?!\p{{L}})))?", (), (_FIVE, _SPANISH_UNIT, *_BRAZIL, rf",\s{_CITY}(?=[.,;\n]|$)", _COUNTRY), hint=r"(?i:c/|c\.|calle|cl\.|avd|avenida|av\.|paseo|po\.|plaza|pza|plz|pl\.|carretera|ctra|camino|ronda|traves|glorieta|rambla|carrer|passeig|gran v|urb)"),
    AddressForm("Italian and Portuguese", rf"(?<![\p{{L}}]){_ITALIAN}\s(?:(?:di|del|della|dei|delle|da|do|dos|das|de|e)\s|\p{{Lu}}[\p{{L}}.'’\-]{{0,20}}\s?){{1,6}}?(?:,\s?|\s)?(?<=[\s,])(?:n\.?\s?)?\d{{1,4}}(?:/[A-Za-z])?(?!\d)", (), (_FIVE, r"(?:,|\s-)\s(?:(?:apto?\.?|andar|interno|int\.|scala|piano|bloco|sala|casa)\s\w{1,4}|\d{1,2}o?\sandar|\d{1,2}\.?o\.?\s(?:Esq|Dto|Dt|Frente|Direito|Esquerdo)\.?)", *_BRAZIL, rf",\s\d{{4}}-\d{{3}}\s{_CITY}", _COUNTRY), hint=r"(?:[Vv]ia|[Vv]iale|[Pp]iazza|[Cc]orso|Largo|Vicolo|Strada|Piazzale|Lungomare|[Rr]ua|Travessa|Alameda|Praça|Estrada|Rodovia)\s"),
    AddressForm("Dutch", r"(?<![\p{L}\-])(?:\p{Lu}[\p{L}.]{1,20}\s){0,3}\p{L}{2,25}(?:straat|laan|plein|gracht|kade|dijk|singel|steeg)\s\d{1,4}(?:[ \-]?[a-zA-Z]{1,2}(?![\p{L}]))?", (), (rf"{_COMMA}\d{{4}}\s?[A-Z]{{2}}\s{_CITY}", _COUNTRY), hint=r"\s\d(?<=(?:straat|laan|plein|gracht|kade|dijk|singel|steeg)\s\d)"),
    AddressForm("post box", r"(?<!\p{L})(?:Postfach\s\d{1,3}(?:\s\d{2,3}){0,2}|(?:B\.P\.|BP)\s\d{2,5}(?!\d)|(?i:apartado(?: de correos| postal)?)\s\d{2,6})", (), (_FIVE, _COUNTRY), hint=r"(?i:postfach|b\.?p\.?|apartado)"),
)  # fmt: skip
