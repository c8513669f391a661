"""Names in Han letters and kana: behind their label or cue, before a title, and Japanese ones that two lists know.

    {田中太郎}様   {中村}部長が   氏名:{加藤大輔}   私は{木村拓郎}です   {佐藤}と申します   フリガナ:{タナカ タロウ}
    我叫{赵建国}。   {李娜}女士   {王}先生   联系人:{张伟强}   收件人:{林志玲}

There are no blanks and no capitals: a surname of the list must begin the name, and a word of another kind must stand before it.
Read after normalising: the long vowel mark and the middle dot have become hyphens.
"""

from collections.abc import Iterator

import regex

from pipelines.curate.name_search import NameSearch
from pipelines.curate.words import words

_HAN = r"[\u4e00-\u9fff々〆ヶ]"
_LETTER = r"[\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff々〆ヶ\-]"
# What may stand right before a name though it is a Han letter.
_BEFORE = r"(?:(?<!\p{Han})|(?<=[是的和与與跟给給找问問叫请請让讓对對向由被把为為在敬爱愛の]|担当|社長|友人|上司|先輩|同僚|株式会社|有限会社|部長|課長|公司|客户|客戶))"
_TITLE_JA = r"(?:様|さま|さん|氏|殿|先生|部長|課長|社長|係長|主任|次長|店長|会長|所長|室長|支店長|専務|常務|取締役|教授|准教授|博士|弁護士|医師|監督|選手|議員|大臣|君(?!が)|くん|ちゃん|先輩|夫妻)"
_LABEL_JA = r"(?:氏\s?名|お名前|名前|ご?担当者?名?|宛先|宛名|差出人|送信者|受取人|受取人名|お届け先|申込者|申請者|契約者|被保険者|患者名?|代表取締役(?:社長)?|代表者?名?|署名|著者|記入者|作成者|報告者|発信者|連絡先|本人|保護者名?|世帯主|口座名義人?|名義人?|購入者|ご注文者|注文者|予約者|会員名|社員名|従業員|学生|生徒|講師|講演者|出席者|参加者|文責|編集)"
_END_JA = r"(?=\s?(?:[,.、。;;)(|」』\"/\n]|$|様|さま|さん|氏|殿|は|が|の|です|と(?:申|い)|\d)|\s)"
_TITLE_ZH = r"(?:先生|女士|小姐|太太|老师|老師|教授|经理|經理|总经理|總經理|总监|總監|总裁|總裁|主任|律师|律師|医生|醫生|医师|醫師|大夫|护士|護士|师傅|師傅|同学(?!们)|同學(?!們)|同志|阿姨|叔叔|大哥|大姐|董事长|董事長|处长|處長|科长|科長|局长|局長|部长|部長|校长|校長|院长|院長|工程师|工程師|会计|會計|博士|班长|班長|老板|老闆|夫人|警官|法官|书记|書記|主管|顾问|顧問)"
_CUE_ZH = r"(?:我名?叫|我的名字(?:是|叫)|名字(?:是|叫)做?|[他她]叫|名叫|叫做|姓名(?:是|为|為)?|联系人|聯絡人|收件人|收货人|收貨人|寄件人|发件人|寄送人|客户(?:姓名)?|客戶(?:姓名)?|患者(?:姓名)?|申请人|申請人|签名|簽名|签字|法定代表人|法人代表|负责人|負責人|经办人|承办人|作者|员工(?:姓名)?|員工(?:姓名)?|学生(?:姓名)?|學生(?:姓名)?|开户名|户名|戶名|持卡人|乘客|旅客|原告|被告|甲方|乙方|委托人|受托人|被保险人|投保人|监护人|家长|配偶|证人|主持人|记录人)"
_END_ZH = r"(?=\s?(?:[,.、。;;!?)(|」』\"/\n,]|$)|\s|先生|女士|的(?!\p{Han}{0,1}字)|身份|电话|手机|性别|住)"
_NO_NAMES = frozenset(
    ["未記入", "記入欄", "未定", "不明", "未填", "匿名", "保密", "不详", "同上", "无", "無", "空白", "必填", "选填", "各位", "全員", "担当者", "営業部", "総務部", "人事部", "事務局", "編集部", "客服", "客服部"]
)  # fmt: skip


class HanNames:
    """The rules for names in Han letters and kana; built once per process."""

    def __init__(self) -> None:
        japanese, given = _alternatives("kanji_surnames"), _alternatives("kanji_given")
        chinese = _alternatives("hanzi_surnames")
        self._patterns = [
            regex.compile(pattern, regex.MULTILINE)
            for pattern in (
                rf"{_BEFORE}({japanese}[ ]?{_LETTER}{{0,3}}?)(?=\s?{_TITLE_JA})",
                rf"{_BEFORE}({japanese}[ ]?{given})(?!{_HAN})",
                rf"{_LABEL_JA}\s?[:=|は]?\s{{0,3}}[「\"]?({japanese}[ ]?{_LETTER}{{1,4}}?){_END_JA}",
                rf"(?:氏\s?名|お名前|口座名義人?)\s?[:=|]\s{{0,3}}({_HAN}{{1,3}}[ ]?{_HAN}{{1,3}}){_END_JA}",
                r"(?:フリガナ|ふりがな|カナ氏名|氏名カナ|氏名\(カナ\)|お名前\(カナ\))\s?[:=|]?\s{0,3}([\u3041-\u3096\u30a1-\u30fa\-]{2,8}(?:[ ][\u3041-\u3096\u30a1-\u30fa\-]{2,8})?)",
                rf"(?:私|わたし|わたくし|僕|ぼく|俺|名前)は\s?({japanese}[ ]?{_LETTER}{{0,3}}?)(?=です|だ|と申|と言|とい)",
                rf"{_BEFORE}({japanese}[ ]?{_LETTER}{{0,3}}?)(?=と申します|と申しま|ともうします|と言います|といいます)",
                r"(?<![\u30a1-\u30fa\-])([\u30a1-\u30fa]{2,10}-[\u30a1-\u30fa\-]{2,12}?)(?=\s?(?:様|さん|氏|先生|さま))",
                rf"{_BEFORE}({chinese}\p{{Han}}{{0,2}}?)(?={_TITLE_ZH})",
                rf"{_CUE_ZH}\s?[::]?\s{{0,3}}({chinese}\p{{Han}}{{1,2}}?){_END_ZH}",
            )
        ]

    def find(self, search: NameSearch) -> Iterator[tuple[int, int]]:
        """Spans of names, some of them twice or within another."""
        for pattern in self._patterns:
            for match in search.each(pattern):
                if match[1] not in _NO_NAMES:
                    yield match.span(1)


def _alternatives(name: str) -> str:
    ordered = sorted(words(name), key=lambda word: (-len(word), word))
    single = "".join(word for word in ordered if len(word) == 1)
    longer = "|".join(word for word in ordered if len(word) > 1)
    return f"(?:{longer}|[{single}])"
