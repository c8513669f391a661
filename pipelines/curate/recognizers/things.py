"""Words right before a number that make it a thing's, not a person's: an order, an invoice, a version, an ISBN."""

import regex

_LABEL = regex.compile(
    r"(?:\b(?:order|invoice|tracking|track|ticket|transaction|txn|booking|shipment|parcel|case|issue|bug|sku|upc|ean|isbn|issn|asin|doi|part|model|product|item|"
    r"article|serial|batch|lot|build|version|release|revision|commit|row|page|port|error|status|gauge|population|timestamp|unix time|epoch|flight|"
    r"bestell|rechnungs?|auftrags?|artikel|facture|commande|pedido|factura|chapter|section|figure|id)"
    r"|注文|訂單|订单|주문|송장|운송장|접수|관리|상품|제품|문서|고시|품번|모델)"
    r"(?:[ _-]?(?:number|nummer|no|nr|num|code|id|번호|番号|号))?s?\.?[\"']?(?:\s?(?:is|was|는|은|:|=|#|は|/)){0,2}\s?[#\"'(]{0,2}\s?$",
    regex.IGNORECASE,
)
_WINDOW = 40


def is_a_things(text: str, start: int) -> bool:
    """Whether what begins at `start` stands right behind the word for an order, a version or the like."""
    return _LABEL.search(text, max(0, start - _WINDOW), start) is not None
