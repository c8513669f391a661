"""Addresses of the English-speaking countries.

1600 Pennsylvania Avenue NW, Washington, DC 20500   Flat 3, 12 High St   221B Baker Street   PO Box 12, Reno, NV 89501   5 The Crescent\\nYork\\nYO1 7HH
"""

from pipelines.curate.recognizers.address_form import AddressForm

_STRONG = (
    r"(?:Street|Str?\.?|Avenue|Ave?\.?|Road|Rd\.?|Boulevard|Blvd\.?|Lane|Ln\.?|Drive|Dr\.?|Court|Ct\.?|Terrace|Ter\.?|Crescent|Cres\.?|Parkway|Pkwy\.?|"
    r"Highway|Hwy\.?|Circle|Cir\.?|Mews|Gardens|Gdns\.?|Broadway|Turnpike|Esplanade|Parade|Trail|Trl\.?|Place|Pl\.?|Square|Sq\.?|Alley|Expressway|Causeway)"
)
_SHOUTED = r"(?:STREET|ST\.?|AVENUE|AVE\.?|ROAD|RD\.?|BOULEVARD|BLVD\.?|LANE|LN\.?|DRIVE|DR\.?|COURT|CT\.?|PLACE|PL\.?|CIRCLE|CIR\.?|TERRACE|PARKWAY|PKWY\.?|HIGHWAY|HWY\.?|SQUARE|CRESCENT|GARDENS|CLOSE)"
_SAID = r"(?:street|avenue|ave|road|boulevard|blvd|lane|drive|court|crescent|terrace|close|gardens)"
_WEAK = (
    r"(?:Way|Close|Hill|Grove|Row|Walk|Loop|Cove|Cv\.?|Rise|Vale|Park|Green|Point|Pointe|View|Path|Pass|Run|Bend|Ridge|Crossing|Xing|Heights|Hts\.?|Meadows?|Orchard|Villas?|Yard|Wharf|Quay|Plaza|Plz\.?|"
    r"Bridge|Approach|Common|Commons|Glen|Hollow|Manor|Mount|Oval|Reach|Spur|Strand|Track|Trace|Trce\.?|Wynd|Embankment|Circus|Arcade|Gate|Pike|Promenade|Chase|Croft|Drove|Field|Fields|Landing|Mill|Mills|Shore|Springs?|Station|Summit|Valley|Vista)"
)
_STATE = (
    r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AIT]|W[AIVY]|AB|BC|MB|NB|NL|NS|ON|PE|QC|SK|NSW|VIC|QLD|TAS|ACT|"
    r"Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|"
    r"Mississippi|Missouri|Montana|Nebraska|Nevada|New (?:Hampshire|Jersey|Mexico|York)|North (?:Carolina|Dakota)|Ohio|Oklahoma|Oregon|Pennsylvania|Rhode Island|South (?:Carolina|Dakota)|Tennessee|Texas|Utah|"
    r"Vermont|Virginia|Washington|West Virginia|Wisconsin|Wyoming|Ontario|Quebec|British Columbia|Alberta|Manitoba|Saskatchewan|Nova Scotia|New South Wales|Victoria|Queensland|Tasmania)"
)
_POSTCODE = r"(?:[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}|\d{5}(?:-\d{4})?|[A-Z]\d[A-Z]\s?\d[A-Z]\d)(?![A-Za-z\d])(?!-\d)"
_COUNTRY = r"(?:USA|U\.S\.A\.|US|United States(?: of America)?|UK|U\.K\.|United Kingdom|Great Britain|England|Scotland|Wales|Northern Ireland|Ireland|Canada|Australia|New Zealand|Singapore|India|South Africa)"
_CAP = r"(?:\p{Lu}[\p{L}'’\-]{0,8}?\p{Ll}[\p{L}.'’\-]{0,20}|\p{Lu}{4,16})"
# A town: capitalised words, none of which begins a sentence or is a courtesy.
_NOT_TOWN = r"(?!(?:Please|Thanks|Thank|Then|And|But|If|When|The|This|That|It|I|We|You|He|She|They|My|Our|Your|Can|Could|Would|Is|Are|Do|Does|Call|Ask|Attn|Phone|Tel|Email|Mr|Mrs|Ms|Dr|Also|So|What|Where|Who|How|Regards|Best|Mobile|Fax|Cell|Contact|Name|Date|Kind|Yours|Sincerely|Dear|Hi|Hello|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)\b)"
_TOWN = rf"{_NOT_TOWN}{_CAP}(?:[ -](?:of|upon|on|le|the|in|under|by|de|la|{_NOT_TOWN}{_CAP})){{0,3}}(?![\p{{L}}@:])"
_SIDE = r"(?:NW|NE|SW|SE|[NSEW]|North|South|East|West|Northwest|Northeast|Southwest|Southeast)\b\.?"
_FLAT = r"(?:(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm|Bldg|Building|Lot|Level|Studio|Penthouse|Box|Office|Block|Tower|Shop)\.?\s?#?\s?(?:\d{1,5}(?:-?[A-Za-z](?![A-Za-z]))?(?:[/-]\d{1,4})?|[A-Z]\d{0,4})|#\s?\d{0,5}[A-Za-z]?\d{0,4}|\d{1,3}(?:st|nd|rd|th) [Ff]loor|[Gg]round [Ff]loor|(?:Basement|Garden|Ground Floor|Top Floor|First Floor|Second Floor|Upper|Lower|Studio) Flat|Penthouse|Basement)(?![A-Za-z\d])"
_GAP = r"(?:,?[ ]{1,2}|,|,?[ ]?\n[ ]{0,4})"
_COMMA = r"(?:,[ ]{0,2}|,?[ ]?\n[ ]{0,4})"
BEHIND = (
    rf"{_GAP}{_SIDE}(?![\p{{L}}'’])",
    rf"{_GAP}{_FLAT}",
    rf"{_GAP}{_STATE}(?=[\s,.;:!?)\"']|$)(?:,?\s{{1,2}}{_POSTCODE}|[ ]\d{{4}}(?!\d))?",
    rf"{_GAP}{_POSTCODE}",
    rf"{_COMMA}{_COUNTRY}(?![\p{{L}}])",
    rf"{_COMMA}{_TOWN}(?![\p{{Ll}}])(?!\s(?:is|was|are|said|says|called|told|will|has|can|and I)\b)",
)
BEFORE = (
    r"(?<![\p{L}\d])(?:The\s)?(?:\p{Lu}[\p{L}'’]{1,15}\s){1,2}(?:House|Cottage|Lodge|Hall|Mansions?|Tower|Building|Farm|Barn|Court|Centre|Center|Works|Mill),\s",
    rf"(?<![\p{{L}}\d]){_FLAT}(?:,\s|\s|\n)",
    rf"(?<![\p{{L}}\d]){_FLAT}(?:,\s|\s|\n)",
)
# A year behind `in` or `since` is none, nor is what is counted: `the 12 Main Street shops`.
_NUMBER = r"(?<!\b(?:the|The|these|those|all|are|These|Those|All)\s)(?!(?:19|20)\d\d\s(?<=\b(?:In|in|since|Since|of|by|until|year)\s\d{4}\s))(?<![\w.$£€%#:/+])(?<!\d[ ,\-])\d{1,5}(?:[A-Za-z](?![A-Za-z]))?(?:\s?[\-–/&]\s?\d{1,5}[A-Za-z]?)?(?:\s1/2)?,?"
_NAME_WORD = r"(?:(?:St|Mt|Ft|Dr|N|S|E|W|NE|NW|SE|SW)\.?|\p{Lu}[\p{L}'’.\-]{1,20}|\d{1,3}(?:st|nd|rd|th)|of|the|de|la|del|des|du|and)"
_NAME = rf"(?!(?:Apt|Suite|Unit|Days?|Hours?|Minutes?|Mins?|Weeks?|Months?|Years?|Miles?|Stars?|Times?|Ways?|Pieces?|People|Seasons?|Episodes?)\b)(?:{_NAME_WORD}\s){{1,5}}?"
_TAIL = rf"(?={_GAP}(?:{_FLAT}|{_SIDE}{_GAP}|{_STATE}\s{{1,2}}{_POSTCODE}|{_POSTCODE}|(?:{_TOWN}{_GAP}){{1,3}}(?:{_STATE}(?![\p{{L}}])|{_POSTCODE}|{_COUNTRY}(?![\p{{L}}]))))"
_PLACED = r"(?i:(?<=\b(?:address|live[sd]?|living|located|deliver(?:ed|y)?|ship(?:ped)?|mail(?:ed)?|send|sent|moved?|office|home|house|property|flat|visit|at|from|to|outside|near|is|on|residing|stay|staying|headquarters|in|of|:)[\"']?[:,]?\s[\"']?(?:it to |out |a |an |the |our |my )?))"
_SPELLED = r"(?:One|Two|Three|Four|Five|Six|Seven|Eight|Nine|Ten|Eleven|Twelve|Fifteen|Twenty|Thirty|Forty|Fifty)"
_AT = r"(?i:(?<=\b(?:address(?:es)?|located|hq|headquarters|headquartered|offices?|campus|deliver(?:ed|y)?|ship(?:ped)?|mail(?:ed)?|send|sent|visit|live[sd]?|living|reside[sd]?|moved?|at|to|from)[\"']?[:,]?\s[\"']?(?:it to |at |in |is |are )?))"
_SMALL_TOWN = r",?\s(?:[a-z]{3,14}\s?){1,2},?\s(?:a[klrz]|c[aot]|d[ce]|fl|ga|hi|i[adln]|k[sy]|la|m[adeinost]|n[cdehjmvy]|o[hkr]|pa|ri|s[cd]|t[nx]|ut|v[at]|w[aivy])\s\d{5}(?:-\d{4})?(?!\d)"
_ZIPPED = rf"{_NUMBER}\s(?:{_NAME_WORD}\s?){{1,4}}(?=,\s?(?:{_FLAT},?\s)?{_TOWN},?\s{{1,2}}{_STATE}\s{{1,2}}\d{{5}}|,?\s(?:{_TOWN},?\s)?(?:[A-Z]{{1,2}}\d[A-Z\d]?\s\d[A-Z]{{2}})(?![A-Za-z\d]))"
FORMS = (
    AddressForm("street", rf"{_NUMBER}\s{{1,2}}(?:{_NAME}(?:{_STRONG}|{_SHOUTED})|Broadway|Embarcadero)(?![\p{{L}}'’])", BEFORE, BEHIND, hint=r"\d[A-Za-z]?,?\s{1,2}[\p{Lu}\d]|\d (?:the|of) "),
    AddressForm("street of a rarer kind, placed", rf"(?:{_PLACED}|^){_NUMBER}\s{{1,2}}{_NAME}{_WEAK}(?![\p{{L}}'’])", BEFORE, BEHIND, hint=r"\d[A-Za-z]?,?\s{1,2}[\p{Lu}\d]"),
    AddressForm("street of a rarer kind, with a town", rf"{_NUMBER}\s{{1,2}}{_NAME}{_WEAK}(?![\p{{L}}'’]){_TAIL}", BEFORE, BEHIND, hint=r"\d[A-Za-z]?,?\s{1,2}[\p{Lu}\d]"),
    AddressForm("any street, with its postcode", _ZIPPED, BEFORE, BEHIND, hint=r"[A-Z]{2}\s{1,2}\d{5}|\d[A-Z]{2}(?![A-Za-z\d])"),
    AddressForm("in lower case, placed", rf"{_PLACED}{_NUMBER}\s(?:[\p{{L}}'’]{{2,20}}\s){{1,3}}?{_SAID}(?!\p{{L}})(?:,?\s(?:apt|flat|unit|suite)\.?\s\w{{1,5}})?", BEFORE, (*BEHIND, _SMALL_TOWN), hint=r"\d\s[a-z]+(?:\s[a-z]+){0,2}\s(?:street|ave|road|boul|blvd|lane|drive|court|cresc|terr|close|gard)"),
    AddressForm("number in words", rf"(?<![\p{{L}}\-])(?:{_SPELLED}\s{_NAME}(?:{_STRONG}|{_WEAK}|Center|Centre)(?![\p{{L}}'’]){_TAIL}|{_AT}{_SPELLED}\s{_NAME}(?:{_STRONG}|{_WEAK}|Center|Centre)(?![\p{{L}}'’]))", BEFORE, BEHIND, hint=rf"{_SPELLED}\s\p{{Lu}}"),
    AddressForm("named house", rf"(?<!\p{{Lu}}\p{{Ll}}{{1,20}}\s)(?:The\s)?(?:{_NOT_TOWN}{_CAP}\s){{1,3}}(?:Cottage|House|Lodge|Farm|Barn|Hall|Manor|Mansions?|Rectory|Vicarage|Grange|Villa|Mill|Priory|Chapel|Court|Bungalow|Stables|Croft),?\s(?:\d{{1,4}}[A-Za-z]?\s)?(?:{_CAP}\s){{1,3}}(?:{_STRONG}|{_WEAK})(?![\p{{L}}'’]),?\s(?:{_TOWN},?\s){{1,2}}{_POSTCODE}", (), BEHIND, hint=r"[A-Z]\d[A-Z\d]?\s?\d[A-Z]{2}|\d{5}"),
    AddressForm("behind a flat", rf"{_FLAT},\s{_NUMBER}\s{_NAME}(?:{_STRONG}|{_WEAK})(?![\p{{L}}'’])", BEFORE, BEHIND, hint=r",\s\d"),
    AddressForm("numbered road", rf"{_NUMBER}\s(?:{_SIDE}\s)?(?:Rural Route|County Road|County Rd|State Road|State Route|Route|Highway|Hwy|CR|FM|US|Interstate)\.?[ -]\d{{1,4}}[A-Z]?(?!\d)", BEFORE, BEHIND, hint=r"(?:Road|Rd|Route|Highway|Hwy|CR|FM|US|Interstate)\.?[ -]\d"),
    AddressForm("post box", r"(?i:(?<![a-z])(?:G?P\.?\s?O\.?|post(?: office)?)\s?box\s?#?\s?\d{1,7}(?!\d)|\bRR\s?#?\s?\d{1,2},?\s(?:box|site)\s\d{1,5}|(?:(?:psc|unit|cmr)\s\d{1,5},?\s(?:box\s\d{1,5},?\s)?)?\b(?-i:[AFD]PO,?\s(?:AA|AE|AP)\s\d{5}(?:-\d{4})?)(?!\d))", (), BEHIND, hint=r"(?i:box|rr|po\b)"),
)  # fmt: skip
