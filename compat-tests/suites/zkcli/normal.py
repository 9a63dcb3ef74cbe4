"""Takes out of a transcript what no two runs share, and leaves the relations between such values.

It never removes a line. Zxids become their distance from the first one the transcript shows, so a write that took a
zxid too many or too few still shows; session ids get names by order of appearance; times become a word.
"""

import re

TIME = re.compile(r"((?:ctime|mtime) = )(?!Thu Jan 01 00:00:00 UTC 1970)\w{3} \w{3} \d\d \d\d:\d\d:\d\d \w+ \d{4}")
HEX_ZXID = re.compile(r"([cmp]Zxid = )0x([0-9a-f]+)")
EVENT_ZXID = re.compile(r"(zxid: )(-?\d+)")
OWNER = re.compile(r"(ephemeralOwner = )0x([0-9a-f]+)")

UNSET_ZXID = {0: "0x0", -1: "-1"}

# Owners with the top bit set are no session ids: they mark containers and nodes with a time to live.
SPECIAL_OWNER = 1 << 63


class Normaliser:
    """For one session: feed it all texts, in order, after `survey` has seen them all."""

    def __init__(self, server: str):
        self._server = server
        self._first_zxid = 0
        self._sessions: dict[str, str] = {}

    def survey(self, texts: list[str]) -> None:
        seen = [int(match[2], 16) for text in texts for match in HEX_ZXID.finditer(text)]
        seen += [int(match[2]) for text in texts for match in EVENT_ZXID.finditer(text)]
        self._first_zxid = min((zxid for zxid in seen if zxid > 0), default=0)

    def apply(self, text: str) -> str:
        text = text.replace(self._server, "HOST:PORT")
        text = TIME.sub(r"\1<time>", text)
        text = HEX_ZXID.sub(lambda match: match[1] + self._zxid(int(match[2], 16)), text)
        text = EVENT_ZXID.sub(lambda match: match[1] + self._zxid(int(match[2])), text)
        return OWNER.sub(lambda match: match[1] + self._owner(match[2]), text)

    def _zxid(self, zxid: int) -> str:
        return UNSET_ZXID.get(zxid) or f"<first+{zxid - self._first_zxid}>"

    def _owner(self, owner: str) -> str:
        if owner == "0" or int(owner, 16) >= SPECIAL_OWNER:
            return f"0x{owner}"
        return self._sessions.setdefault(owner, f"<session {len(self._sessions) + 1}>")
