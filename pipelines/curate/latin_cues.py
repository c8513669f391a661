"""What stands around names in letters that have capitals: titles, labels, greetings, closings, verbs of speech; patterns only.

    my name is ...   Frau ...   Szanowna Pani ...   z. Hd. ...   Nom : ...   "first_name": "..."   Mit freundlichen Grüßen ...   ... told me

Each is a piece of a regular expression that `latin_names` puts together; what stands in their place is judged there.
"""

LOWER = r"[\p{Ll}\p{M}]"
WORD = (
    rf"(?:\p{{Lu}}{LOWER}{{0,2}}['’]?\p{{Lu}}?{LOWER}{{1,20}}(?:[-'’]\p{{L}}{LOWER}{{1,20}}){{0,2}}|\p{{Lu}}['’]?\p{{Lu}}{{1,16}}(?:-\p{{Lu}}{{2,16}})?)"
    r"(?![\p{L}\p{N}_])"
)
SMALL = r"(?:al-|el-|(?:de|da|das|do|dos|van|von|vom|zum|zur|bin|ibn|binti|del|della|dello|degli|dei|di|du|des|la|las|los|le|der|den|dem|ter|ten|het|'t|zu|af|av|y|e|Mac|Mc|Ó|O|Ní|Ap|d[eo]s?)[ ])"
FULL = rf"{WORD}(?:[ ](?:\p{{Lu}}\.[ ]?(?:\p{{Lu}}\.[ ]?)?|{SMALL}{{1,2}})?{WORD}){{0,3}}"
LEADING = rf"(?:(?:\p{{Lu}}\.[ ]?){{1,3}}|{SMALL}{{1,3}})?"  # initials or particles before the first word
TWO = rf"{WORD}(?:[ ](?:\p{{Lu}}\.[ ]?|{SMALL}{{1,2}})?{WORD}){{1,3}}"
PARTICLES = frozenset(
    [
        "al-",
        "el-",
        "de",
        "da",
        "das",
        "do",
        "dos",
        "van",
        "von",
        "bin",
        "ibn",
        "binti",
        "del",
        "della",
        "di",
        "du",
        "la",
        "le",
        "der",
        "den",
        "ter",
        "ten",
        "het",
        "zu",
        "af",
        "av",
        "y",
        "e",
        "mac",
        "vom",
        "zum",
        "zur",
        "dello",
        "degli",
        "dei",
        "des",
        "las",
        "los",
        "dem",
        "'t",
        "mc",
        "ó",
        "o",
        "ní",
        "ap",
    ]
)
TITLE = (
    r"(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|Sir|Madam|Lord|Lady|Judge|Justice|Officer|Captain|Capt|Father|Sister|Nurse|Uncle|Aunt|Auntie|Coach|Grandma|Grandpa|Granny|Nana|"
    r"President|Senator|Governor|Mayor|King|Queen|Prince|Princess|Detective|Sergeant|Sgt|Lieutenant|Colonel|Reverend|Rev|Pastor|Rabbi|Imam|Sheikh|Councillor|Cllr|"
    r"Herrn?|Frau|Fräulein|Hr|Fr|Dipl\.-Ing|Monsieur|Madame|Mademoiselle|M(?=\.)|Mme|Mlle|Maître|monsieur|madame|"
    r"[Ss]eñora?|[Ss]eñorita|Sr|Sra|Srta|Don(?=\s)|Doña|[Ss]ignor[ae]?|Sig(?:\.ra|\.na|\.ri)?|Dott(?:\.ssa)?|Dr\.ssa|Prof\.ssa|Avv|Ing|Arch|Egr|Spett|D(?=\.\s)|D\.[aª]|Exm[oa]|Ilm[oa]|Dña|Lic|Mtro|[Ss]enhora?|Meneer|Mevrouw|[Gg]ospodin|Pan[iuaí]|Paní|Pan[ieě]?(?=\s\p{Lu}\p{Ll}+(?:ski|ska|cki|cka|ová|á|ek|ík|owi|emu)\b)|Pan(?=\s\p{Lu}\p{Ll}+\s\p{Lu}\p{Ll}+)|Herr Dr|Frau Dr|Fru|Kyrios|Kyria|Bay|Bayan|Господин|Госпожа|г-н|г-жа)\.?)"
)
# The same in other languages, with their `my`: whoever stands behind is named in the sentence, or is no name.
ABROAD = (
    r"(?i:\b(?:mein[e]?[rmn]?|unser[e]?[rmn]?|ihr[e]?[rmn]?|sein[e]?[rmn]?|deine?) (?:\p{Ll}{3,12} )?(?:mann|frau|sohn|tochter|bruder|schwester|vater|mutter|mama|papa|freund(?:in)?|chef(?:in)?|kolleg(?:e|en|in)|nachbar(?:in)?|vermieter(?:in)?|oma|opa|onkel|tante|cousine?|neffe|nichte|arzt|ärztin|lehrer(?:in)?|anwalt|anwältin|partner(?:in)?|ex|enkel(?:in)?|mieter(?:in)?|mitarbeiter(?:in)?)|"
    r"\b(?:mon|ma|notre|son|sa|ton|ta) (?:\p{Ll}{3,12} )?(?:mari|femme|fils|fille|frère|sœur|soeur|père|mère|maman|papa|amie?|copain|copine|chef|patronn?e?|collègue|voisine?|médecin|propriétaire|oncle|tante|cousine?|neveu|nièce|avocate?|conjointe?|compagne|compagnon)|"
    r"\b(?:mi|su|tu|nuestr[oa]) (?:\p{Ll}{3,12} )?(?:marido|esposo|esposa|mujer|hij[oa]|herman[oa]|padre|madre|mamá|papá|amig[oa]|novi[oa]|jef[ea]|compañer[oa]|colega|vecin[oa]|médic[oa]|tí[oa]|prim[oa]|sobrin[oa]|abuel[oa]|caser[oa]|abogad[oa])|"
    r"\b(?:mi[oa]|il mio|la mia|nostr[oa]|su[oa]|tu[oa]) (?:marito|moglie|figli[oa]|fratello|sorella|padre|madre|mamma|papà|amic[oa]|fidanzat[oa]|capo|collega|vicin[oa]|medico|zi[oa]|cugin[oa]|nipote|nonn[oa]|avvocat[oa])|"
    r"\b(?:meu|minha|nosso|nossa|seu|sua) (?:marido|esposa|mulher|filh[oa]|irmã|irmão|pai|mãe|amig[oa]|namorad[oa]|chefe|colega|vizinh[oa]|médic[oa]|ti[oa]|prim[oa]|sobrinh[oa]|av[óô]|advogad[oa])|"
    r"\b(?:mój|moja|mojego|mojej|moim|moją|nasz|nasza) (?:mąż|męża|żona|żoną|żony|syn|syna|córka|córką|córki|brat|brata|siostra|siostrą|ojciec|mama|tata|przyjaciel|przyjaciółka|szef|szefowa|kolega|koleżanka|sąsiad|sąsiadka|lekarz|ciocia|wujek|babcia|dziadek)),?(?: \(?(?i:heißt|namens|s['’]appelle|se llama|si chiama|se chama|ma na imię))?\s"
)
RELATION = (
    r"(?:friend|best friend|boss|manager|wife|husband|son|daughter|brother|sister|mother|father|mum|mom|dad|neighbou?r|landlord|landlady|tenant|"
    r"doctor|dentist|teacher|tutor|colleague|coworker|co-worker|ex|girlfriend|boyfriend|fianc[eé]e?|partner|advis[eo]r|supervisor|roommate|(?:brother|sister|mother|father|son|daughter)-in-law|"
    r"flatmate|kid|baby|nephew|niece|cousin|uncle|aunt|grandma|grandpa|grandson|granddaughter|stepson|stepdaughter|client|patient|student|lawyer|therapist|nurse|assistant|intern|trainee|buddy|mate)"
)
# Behind these stands a name and nothing else: any word will do.
NAMED = (
    r"(?i:\bmy (?:full |first |last |real )?name(?: is|['’]s|:)|\bmy name,|\bmam na imię|\bmitt namn är|\bnimeni on|\bnumele meu este|\bmă numesc|\bnevem|με λένε|ονομάζομαι|το όνομά μου είναι|\bme chamo|\bi am called|\bcall(?:ed)? me|\bnamed|\b(?:she|he|who)(?:['’]s| is| was) (?:called|named)|\bthe name is|\bname['’]s|\bspeaking with|\bpackage for|\beveryone (?:says|calls (?:me|him|her|them))|\bgoes by|\bknown as|\bnicknamed|\bfriends call (?:me|him|her)|"
    r"\bich heiße|\bmein name ist|\bje m['’]appelle|\bmon nom est|\bme llamo|\bmi nombre es|\bmi chiamo|\bmeu nome é|\bchamo-me|\bik heet|\bmijn naam is|\bnazywam się|\bjmenuji se|\bjag heter|\bjeg hedder|\bbenim adım|\bменя зовут|\bмене звати)\s{1,3}"
)
# Behind these may stand a thing as well: no ordinary word.
LABEL = (
    r"(?i:\b(?:name|full name|first name|last name|surname|given name|from|to|cc|attn|attention|sender|recipient|author|contact|contact person|patient|customer|client|employee|tenant|landlord|guarantor|witness|applicant|claimant|"
    r"defendant|plaintiff|buyer|seller|borrower|lender|insured|beneficiary|supervisor|manager|director|attendees?|participants?|present(?: were)?|absent|signed|assignee|reporter|reviewer|owner|student|teacher|guest|passenger|driver|caller|speaker|"
    r"candidate|payee|payer|passenger names?|name of (?:the )?(?:insured|patient|applicant|child|mother|father|employee|student|owner|deceased|spouse|claimant|beneficiary|guardian|witness)|legal name|maiden name|middle name|family name|nick ?name|cardholder|account holder|ship to|bill to|deliver to|emergency contact|next of kin|nom(?: et prénoms?| de famille)?|prénoms?|nombres?(?: y apellidos?| completo)?|apellidos?|nome(?: e cognome| completo)?|cognome|sobrenome|vorname|(?:vor- und )?nachname|familienname|geburtsname|patientin|versicherte[r]?|antragsteller(?:in)?|auftraggeber(?:in)?|bearbeiter(?:in)?|sachbearbeiter(?:in)?|empfänger|absender|verfasser|imię(?: i nazwisko)?|nazwisko|naam|achternaam|voornaam|navn|namn|"
    r"jméno(?: a příjmení)?|příjmení|фио|ф\.и\.о\.|имя|фамилия|отчество|ім['’]я|прізвище|піб|όνομα|ονοματεπώνυμο|επώνυμο|ad(?:ı)? soyad(?:ı)?|h[oọ](?: và)? t[eê]n|nama|firmado(?: por)?|cliente|paciente|titular|client|bénéficiaire|destinataire|expéditeur|destinatario|mittente|remitente|pracownik|klient|pacjent(?:ka)?|ansprechpartner(?:in)?|kunde|mieter(?:in)?|interviewee|host|chair|minutes by|prepared by|approved by)\s?[:|=]\s{0,2}[\"'*_“]{0,2}|"
    r"\battn\.?:?\s|\bc/o\s|\bz\.\s?hd\.?\s|\bzu händen(?: von)?\s|\bgez\.\s|\bi\.\s?[av]\.\s|\bppa\.\s|à l['’]attention de\s|\ba la atención de\s|\balla c(?:ortese )?\.?\s?a(?:ttenzione)?\.? (?:di|del|della)\s|\bje soussignée?,?\s|\b(?:il|la) sottoscritt[oa]\s|\b(?:yo|eu),\s|\bi,\s(?=[^,\n]{3,50},\s(?:hereby|the undersigned|confirm|declare|agree|certify|authori|am writing|solemnly|do ))|"
    r"\bsigned-off-by:\s|\bco-authored-by:\s|@author\s|\b(?:todo|fixme|xxx|note)\(|\bwritten by:?\s|\b(?:last|previously) (?:modified|edited|updated) by:?\s|\bpatient\s|\bpassenger\s|\bcustomer\s|\bemployee\s|\bsigned by\s|\bon behalf of\s|\bact as\s|\bthis is\s|\bit['’]s me,\s|\bpresent were\s)"
)
# Behind a dash at the beginning of a line, as below a letter.
DASHED = r"(?:^[ ]?(?:--|—|–)[ ]?\n?)"
# A field of a program's that holds a name: both halves of one, and one that may hold anything's.
PART_FIELD = r"(?i:[\"']?(?<![a-z])(?:first|last|given|family|sur|middle|maiden|fore|nick|father|mother|spouse)(?:'?s)?[_ -]?names?[\"']?\s?[:=]\s?[\"'])"
FULL_FIELD = (
    r"(?:(?i:[\"']?(?<![a-z])(?:(?:full|display|customer|client|patient|employee|contact|account|account_?holder|owner|sender|recipient|user|author|billing|shipping|student|guest|passenger|driver|card_?holder|beneficiary|legal|real|manager|teacher|doctor|assignee|reporter|creator|person|people|member|tenant|signer|staff)[_ -]?(?:full[_ -]?)?name"
    r"|name|user|author|assignee|owner|reporter|reviewer|createdby|created_by|assigned_to|assignedto|recipient|sender|contact|customer|patient|employee|signed_by|from|to|cc)[\"']?\s?[:=]?\s?[\"'])|(?i:(?<![a-z])(?:user|author|owner|name|customer|employee|patient)=))"
)
CLOSING = (
    r"(?i:\b(?:(?:best|kind|kindest|warm|warmest)(?: regards| wishes)?|regards|sincerely|respectfully|cordially|faithfully|cheers|thanks|thank you|many thanks|with thanks|thx|love|lots of love|hugs|warmly|yours|"
    r"(?:yours |very )?(?:truly|sincerely|faithfully|respectfully)(?: yours)?|all the best|take care|xoxo|(?:mit )?(?:freundlichen|besten|herzlichen|lieben) gr(?:ü|ue)(?:ß|ss)en|(?:viele|liebe|beste|herzliche) gr(?:ü|ue)(?:ß|ss)e|lg|mfg|vg|"
    r"cordialement|bien cordialement|très cordialement|bien à vous|salutations distinguées|à bientôt|amicalement|sincères salutations|(?:un (?:cordial |afectuoso )?)?saludos?(?: cordial(?:es)?)?|muy atentamente|atentamente|un abrazo|(?:cordiali|distinti|cari|un caro) saluti?|atenciosamente|abraços?|(?:com os melhores )?cumprimentos|met vriendelijke groet(?:en)?|groet(?:en|jes)|hoogachtend|"
    r"z (?:poważaniem|wyrazami szacunku)|(?:serdecznie |gorąco )?pozdrawiam|serdeczne pozdrowienia|s pozdravem|med v[äe]nlig(?:a)? h[äi]lsning(?:ar)?|(?:vennlig|venlig) hilsen|mvh|hälsningar|ystävällisin terveisin|terveisin|üdvözlettel|saygılarımla|с уважением|с наилучшими пожеланиями|з повагою|με εκτίμηση)\b\s?[,.!–-]{0,2}\s{1,4})"
)
GREETING = (
    r"(?i:\b(?:hi|hello|hey|hiya|dear|good morning|good afternoon|good evening|welcome(?: back)?|congratulations|congrats|happy birthday|thanks|thank you|thx|sorry|bye|goodbye|ok|okay|yes|no|sure|well|"
    r"hallo|hi|liebe[rs]?|guten (?:tag|morgen|abend)|servus|moin|sehr geehrte[rs]?|bonjour|salut|bonsoir|coucou|chère?|merci|hola|buenos días|buenas tardes|querid[oa]s?|estimad[oa]s?|gracias|ciao|caro|cara|gentile|egregi[oa]|spettabile|olá|oi|prezad[oa]s?|hej|hoi|beste|geachte|cześć|drog[ia]|szanown[ya]|witaj|dzień dobry|ahoj|dobrý den|vážen[ýá]|kære|kjære|привет|здравствуйте|уважаем(?:ый|ая)|дорог(?:ой|ая)|шановн(?:ий|а)|γεια σου|αγαπητ[έή])[,!]?\s{1,2})"
)
# Behind these a name of two words stands, or a listed one; a single unknown word may be a trade or a nation.
BEING = (
    r"(?i:\b(?:ich bin|hier ist|hier spricht|je suis|c['’]est|soy|sono|io sono|eu sou|jestem|ik ben|jag är|jeg er|я)\s)"
)
DONE = r"(?=\s?(?:[,.!?;:)\n–—]|$|and\s|&|\s-\s))"
# Verbs and prepositions whose object is mostly a person: a listed name, or two words that no dictionary has.
TOWARDS = (
    r"(?i:\b(?:ask|asked|tell|told|call|called|phone|text|texted|email|emailed|message|contact|contacted|reach|meet|met|invite|invited|thank|remind|notify|inform|interview(?:ed)?|hired|fired|promoted|married|dated|"
    r"spoke (?:with|to)|speak (?:with|to)|talk(?:ed)? (?:with|to)|introduce me to|forward (?:it )?to|sen[dt] (?:it )?to|reply to|report(?:s|ed)? to|married to|divorced from|letter (?:for|to|from)|reference for|obituary for|"
    r"(?:signed|written|authored|reviewed|approved|prepared|painted|sent|led|represented|accompanied|drafted|endorsed) by|according to|cc)\s{1,2})"
)
ASKED = r"(?i:\b(?:can|did|does|has|if|when|hope|think|thinks|says|for my [a-z]{3,12}),?\s{1,2})"
HIRED = r"(?i:\b(?:my|our|his|her|their|the|new)\s(?:new )?(?:hire|recruit|candidate|employee|team lead|lead|ceo|cfo|cto|coo|founder|co-founder|engineer|designer|developer|recruiter|accountant|attorney|agent|vet|plumber|electrician|driver|nanny|babysitter|cleaner|trainer|coach|pastor)\s)"
SPEECH = (
    r"(?:said|says|told|asked|asks|texted|called|calls|wrote|writes|replied|thinks|keeps|sent|wants|wanted|borrowed|promised|agreed|refused|emailed|mentioned|complained|declined|claimed|testified|signed|joined|resigned|retired|apologi[sz]ed|argued|"
    r"admitted|confirmed|explained|insisted|suggested|lives|lived|works|worked|died|married|phoned|answered|knows|believes|hopes|loves|hates|needs|(?:will|would) be joining|(?:has|have|had) (?:been|not|never|asked|signed|sent|told|called)|"
    r"is (?:my|our|his|her|their|your|a|an|the) (?:new |old )?(?:[a-z]+ ){0,1}(?:friend|boss|manager|teacher|doctor|neighbou?r|colleague|tenant|lawyer|dentist|cousin|uncle|aunt|brother|sister|husband|wife|son|daughter|nurse|coach|director|chair|ceo|cfo|cto))"
)
ROLE = r"(?i:\bthe (?:witness|plaintiff|defendant|author|founder|chef|coach|editor|attorney|officer|candidate|applicant|nurse|victim|suspect|accused|deceased|owner|tenant|landlord|driver|interviewer|interviewee|chairman|chairwoman|director|manager|ceo|cfo|cto),?\s)"
APPOSITION = r"(?=,\s(?:who|whom|whose|our|my|his|her|their|aged|born|age\s\d|\d\d\b|CEO|CFO|CTO|PhD|MD|Esq|Jr|Sr|RN|the (?:new |former )?[a-z]+ (?:of|at|for)\b|a [a-z]+ (?:from|at|of)\b)|\s?[(<\[]\s?[\w.+-]{1,40}@|\s?\((?:he|she|they|age|aged|born|\d\d\b))"
OWNED = r"(?=['’]s\s(?:birthday|wedding|husband|wife|mother|father|mom|mum|dad|son|daughter|sister|brother|boss|phone|number|email|e-mail|address|house|car|desk|office|funeral|party|lawyer|doctor|resume|cv|salary|account|passport|mail|parents|kids|dog|cat|room|apartment)\b)"
