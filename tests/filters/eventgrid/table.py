"""What passes each of the 19 operators and what does not, written by hand.

A paragraph is an operator with what it compares with, as JSON. A line beneath begins with ``+`` (passes) or ``-`` (does
not), after an ``A`` if arrays are looked into; then come values at ``data.x``, as JSON, between semicolons.
``missing``: there is no x.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

TABLE = """
NumberIn [5, 1, -2.5]
+ 5 ; 1 ; -2.5 ; 5.0 ; 50e-1
- 4 ; 0 ; 5.000000000000001 ; -1 ; 9007199254740993 ; missing ; null ; "5" ; "" ; true ; {} ; {"x": 5} ; [5] ; []
A+ 5 ; [5] ; [4, 5] ; [1, 5] ; ["x", 1] ; [null, -2.5] ; [true, 5]
A- 4 ; [4] ; [] ; ["5"] ; [true] ; [null] ; [[5]] ; [5, [5]] ; [5, {"x": 1}] ; [{"x": 5}] ; missing ; null ; "5" ; {}

NumberNotIn [41, 0]
+ 40 ; 1 ; -41 ; 40.5 ; missing ; null ; "41" ; "" ; true ; false
- 41 ; 0 ; 0.0 ; 41.0 ; -0.0 ; [40] ; [41] ; [] ; {} ; {"x": 1}
A+ 40 ; [40] ; [40, 42] ; [] ; ["41"] ; ["41", 40] ; [null] ; [false] ; missing ; null ; "41"
A- 41 ; [41] ; [40, 41] ; [0, 41] ; ["x", 0] ; [null, 0] ; [[40]] ; [40, {"x": 1}] ; {}

NumberLessThan 100
+ 99 ; 99.99999 ; 0 ; -5 ; -1e300 ; 5e-324
- 100 ; 100.0 ; 100.00001 ; 101 ; 1e300 ; missing ; null ; "99" ; "" ; true ; false ; {} ; {"x": 1} ; [99] ; []
A+ 99 ; [99] ; [100, 99] ; [101, -1, 200] ; ["x", 1] ; [null, 5]
A- 100 ; [100] ; [100, 101] ; [] ; ["99"] ; [false] ; [null] ; [[99]] ; [99, {}] ; missing ; null ; {}

NumberGreaterThan 20
+ 21 ; 20.000001 ; 1e300 ; 9223372036854775807
- 20 ; 20.0 ; 19.9999 ; -21 ; 0 ; missing ; null ; "21" ; "" ; true ; false ; {} ; {"x": 21} ; [21] ; []
A+ 21 ; [21] ; [20, 21] ; [1, 2, 300] ; ["x", 21] ; [null, 21]
A- 20 ; [20] ; [1, 20] ; [] ; ["21"] ; [true] ; [null] ; [[21]] ; [21, {}] ; missing ; null ; {}

NumberLessThanOrEquals 100
+ 100 ; 100.0 ; 99.9 ; -3 ; 0
- 100.00000000000001 ; 101 ; 1e9 ; missing ; null ; "100" ; "" ; true ; false ; {} ; {"x": 1} ; [100] ; []
A+ 100 ; [100] ; [101, 100] ; [101, 102, 1] ; ["x", 100] ; [null, 5]
A- 101 ; [101] ; [101, 102] ; [] ; ["100"] ; [false] ; [null] ; [[1]] ; [1, {}] ; missing ; null ; {}

NumberGreaterThanOrEquals 30
+ 30 ; 30.0 ; 31 ; 1e99
- 29.999999999999996 ; 29 ; -30 ; 0 ; missing ; null ; "30" ; "" ; true ; false ; {} ; {"x": 30} ; [30] ; []
A+ 30 ; [30] ; [29, 30] ; [1, 2, 31] ; ["x", 30] ; [null, 30]
A- 29 ; [29] ; [1, 29] ; [] ; ["30"] ; [true] ; [null] ; [[30]] ; [30, {}] ; missing ; null ; {}

NumberInRange [[3.14159, 999.95], [3000, 4000]]
+ 3.14159 ; 4 ; 999.95 ; 3000 ; 3500.5 ; 4000 ; 4000.0
- 3.14 ; 999.96 ; 1000 ; 2999.999 ; 4000.001 ; -5 ; 0 ; missing ; null ; "4" ; true ; {} ; {"x": 4} ; [4] ; []
A+ 4 ; [4] ; [1, 4] ; [1000, 3000] ; ["x", 999.95] ; [null, 4]
A- 3 ; [3] ; [1000, 2000] ; [] ; ["4"] ; [true] ; [null] ; [[4]] ; [4, {"x": 1}] ; missing ; null ; {}

NumberNotInRange [[3.14159, 999.95], [3000, 4000]]
+ 3 ; 999.96 ; 1000 ; 2999.999 ; 4001 ; -4 ; 0
- 3.14159 ; 4 ; 999.95 ; 3000 ; 3500 ; 4000 ; missing ; null ; "3" ; "" ; true ; {} ; {"x": 3} ; [3] ; []
A+ 3 ; [3] ; [1000, 2000] ; [] ; ["4"] ; [true] ; [null] ; ["4", 3]
A- 4 ; [4] ; [3, 4] ; [1000, 3000] ; ["x", 4] ; [[3]] ; [3, {"x": 1}] ; missing ; null ; "3" ; {}

BoolEquals true
+ true
- false ; missing ; null ; "true" ; "True" ; "" ; 1 ; 0 ; 1.0 ; {} ; {"x": true} ; [true] ; []
A+ true ; [true] ; [false, true] ; ["x", true] ; [null, true] ; [1, true]
A- false ; [false] ; [] ; ["true"] ; [1] ; [null] ; [[true]] ; [true, {}] ; missing ; null ; 1 ; {}

BoolEquals false
+ false
- true ; missing ; null ; "false" ; "" ; 0 ; 0.0 ; {} ; [false] ; []
A+ false ; [false] ; [true, false] ; [0, false]
A- true ; [true] ; [] ; [0] ; [null] ; missing ; null

StringContains ["microsoft", "Azure"]
+ "azure data factory" ; "AZURE" ; "the Microsoft way" ; "xazurex" ; "MicroSoft" ; "azureazure"
- "azur" ; "micro soft" ; "" ; "a z u r e" ; missing ; null ; 5 ; true ; {} ; {"azure": 1} ; ["azure"] ; []
A+ "azure" ; ["azure"] ; ["x", "xAZUREx"] ; [5, "microsoft"] ; [null, "azure"]
A- "x" ; ["x"] ; ["micro", "soft"] ; [] ; [5] ; [null] ; [["azure"]] ; ["azure", {}] ; missing ; null ; 5 ; {}

StringNotContains ["contoso", "Fabrikam"]
+ "azure" ; "" ; "contos" ; "con toso" ; "fabrika"
- "contoso" ; "CONTOSO" ; "xcontosox" ; "my fabrikam" ; missing ; null ; 5 ; true ; false ; {} ; ["azure"] ; []
A+ "azure" ; ["azure"] ; ["a", "b"] ; [] ; [5] ; [null] ; [5, "azure"] ; [""]
A- "Contoso" ; ["contoso"] ; ["a", "xFABRIKAM"] ; [5, "contoso"] ; [["azure"]] ; ["azure", {}] ; missing ; null ; 5 ; {}

StringBeginsWith ["event", "Message"]
+ "event hubs" ; "EVENT" ; "message" ; "Messages" ; "eventevent"
- "an event" ; "even" ; " event" ; "" ; missing ; null ; 5 ; true ; {} ; {"event": 1} ; ["event"] ; []
A+ "event" ; ["event"] ; ["x", "EVENTS"] ; [5, "message"] ; [null, "event"]
A- "x" ; ["x"] ; ["even", "t"] ; [] ; [5] ; [null] ; [["event"]] ; ["event", {}] ; missing ; null ; 5 ; {}

StringNotBeginsWith ["event", "Message"]
+ "an event" ; "even" ; " event" ; "" ; "mess"
- "event hubs" ; "EVENT" ; "messages" ; missing ; null ; 5 ; true ; false ; {} ; ["x"] ; []
A+ "x" ; ["x"] ; ["an event", "a message"] ; [] ; [5] ; [null] ; [5, "x"] ; [""]
A- "Event" ; ["event"] ; ["x", "MESSAGE"] ; [5, "event"] ; [["x"]] ; ["x", {}] ; missing ; null ; 5 ; {}

StringEndsWith ["jpg", "JPEG", "png"]
+ "eventgrid.png" ; "PNG" ; "a.JPG" ; "a.jpeg" ; "jpgjpg"
- "png.txt" ; "pn" ; "png " ; "" ; missing ; null ; 5 ; true ; {} ; {"png": 1} ; ["png"] ; []
A+ "a.png" ; ["a.png"] ; ["x", "A.PNG"] ; [5, "jpg"] ; [null, "jpeg"]
A- "x" ; ["x"] ; ["jp", "g"] ; [] ; [5] ; [null] ; [["png"]] ; ["png", {}] ; missing ; null ; 5 ; {}

StringNotEndsWith ["jpg", "JPEG", "png"]
+ "png.txt" ; "pn" ; "png " ; "" ; "jpe"
- "a.png" ; "PNG" ; "a.Jpeg" ; missing ; null ; 5 ; true ; false ; {} ; ["x"] ; []
A+ "x" ; ["x"] ; ["png.txt", "a"] ; [] ; [5] ; [null] ; [5, "x"] ; [""]
A- "a.PNG" ; ["a.png"] ; ["x", "a.JPG"] ; [5, "png"] ; [["x"]] ; ["x", {}] ; missing ; null ; 5 ; {}

StringIn ["contoso", "Fabrikam", "straße", "5"]
+ "contoso" ; "CONTOSO" ; "fabrikam" ; "FABRIKAM" ; "Straße" ; "5"
- "contoso " ; "contos" ; "" ; "strasse" ; "STRASSE" ; missing ; null ; 5 ; true ; {} ; ["contoso"] ; []
A+ "Contoso" ; ["contoso"] ; ["x", "FABRIKAM"] ; [5, "5"] ; [null, "contoso"]
A- "x" ; ["x"] ; [] ; [5] ; [null] ; [["contoso"]] ; ["contoso", {}] ; missing ; null ; 5 ; {}

StringNotIn ["aws", "Bridge"]
+ "azure" ; "" ; "aws " ; "a" ; missing ; null ; 5 ; true ; false
- "aws" ; "AWS" ; "bridge" ; "BRIDGE" ; ["azure"] ; [] ; {} ; {"aws": 1}
A+ "azure" ; ["azure"] ; ["a", "b"] ; [] ; [5] ; [null] ; [5, "azure"] ; missing ; null ; 5
A- "Aws" ; ["aws"] ; ["azure", "BRIDGE"] ; [5, "aws"] ; [["azure"]] ; ["azure", {}] ; {}

IsNullOrUndefined
+ missing ; null
- 0 ; 5 ; "" ; "null" ; false ; true ; {} ; {"x": null} ; [] ; [null] ; [5]
A+ missing ; null
A- 0 ; "" ; false ; {} ; [] ; [null] ; [5] ; [[]] ; [{}]

IsNotNull
+ 0 ; 5 ; -1.5 ; "" ; "null" ; false ; true ; {} ; {"x": null} ; [] ; [null] ; [5]
- missing ; null
A+ 0 ; "" ; false ; {} ; [] ; [null] ; [5] ; [[]] ; [{}]
A- missing ; null
"""


class Row(NamedTuple):
    operator: str
    operand: str  # JSON
    arrays: bool
    value: str  # JSON, or "missing"
    passes: bool


def rows() -> Iterator[Row]:
    for paragraph in TABLE.strip().split("\n\n"):
        head, *lines = paragraph.split("\n")
        operator, _, operand = head.partition(" ")
        for line in lines:
            sign, _, values = line.partition(" ")
            for value in values.split(" ; "):
                yield Row(operator, operand, sign.startswith("A"), value, sign.endswith("+"))


def arguments(operand: str) -> dict[str, Any]:
    """``value=`` or ``values=`` of an ``AdvancedFilter``."""
    found = msgspec.json.decode(operand) if operand else ()
    return {"values": found} if isinstance(found, list | tuple) else {"value": found}
