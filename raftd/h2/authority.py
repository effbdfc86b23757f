"""The host that a client says it calls (`:authority`), where libnghttp2 refuses that name.

Go's clients of etcd before 3.5 dial `http://HOST:PORT` as it stands and name it so; those of 3.5.0
and 3.5.1 name `#initially=[HOST:PORT]`. No host has a `/` or a `#`, and libnghttp2 resets every
such call: `etcdctl endpoint status --cluster` heard PROTOCOL_ERROR. We ask nobody for the name, so
it is mended before the engine sees it. A client names one host in all its calls.
"""

from __future__ import annotations

PREFACE_BYTES = 24
FRAME_HEAD_BYTES = 9
FRAME_BYTES_MAX = 16 << 10
HEADERS, PADDED, PRIORITY = 0x1, 0x8, 0x20

AUTHORITY = 1, b":authority"
"""Its number in HPACK's static table (RFC 7541, appendix A), or its name."""

_OF_A_HOST = frozenset(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!$&'()*+,-.:;=@[]_~%"
)
"""What libnghttp2 takes."""

_BY_BITS = {
    5: b"012aceiost",
    6: b" %-./3456789=A_bdfghlmnpru",
    7: b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: b"&*,;XZ",
    10: b'!"()?',
    11: b"'+|",
    12: b"#>",
    13: b"\0$@[]~",
}
"""HPACK's Huffman code (RFC 7541, appendix B) as far as names of hosts need it."""


def _codes() -> dict[tuple[int, int], int]:
    """(bits, code) -> byte. The codes are canonical: they count upwards."""
    found: dict[tuple[int, int], int] = {}
    code = last = 0
    for bits, letters in _BY_BITS.items():
        code <<= bits - last
        last = bits
        for letter in letters:
            found[bits, code] = letter
            code += 1
    return found


_CODES = _codes()


class Names:
    """Looks at what a client sends: until its first header block has gone by, if that is well."""

    def __init__(self) -> None:
        self.well = False
        """Its name needs no mending: it says the same one in every call."""
        self._found = False
        self._waits = b""
        self._skip = PREFACE_BYTES

    def take(self, data: bytes) -> bytes:
        """What the engine may see now. The beginning of a header block waits here for its rest."""
        data = self._waits + data
        done: list[bytes] = []
        begin, at = 0, self._skip
        while len(data) - at >= FRAME_HEAD_BYTES:
            end = at + FRAME_HEAD_BYTES + int.from_bytes(data[at : at + 3])
            if data[at + 3] == HEADERS and end - at <= FRAME_BYTES_MAX:
                if end > len(data):
                    break
                frame = _mended_frame(data[at:end])
                if frame == data[at:end] and not self._found:
                    self.well = True
                    return b"".join((*done, data[begin:]))
                self._found = True
                done += data[begin:at], frame
                begin = end
            at = end
        ready = min(at, len(data))
        self._skip, self._waits = at - ready, data[ready:]
        return b"".join((*done, data[begin:ready]))


def _mended_frame(frame: bytes) -> bytes:
    """Of HEADERS, all of it."""
    if frame[4] & PADDED:
        return frame  # nobody pads who writes such names
    at = FRAME_HEAD_BYTES + (5 if frame[4] & PRIORITY else 0)
    block = frame[FRAME_HEAD_BYTES:at] + mended(frame[at:])
    return len(block).to_bytes(3) + frame[3:FRAME_HEAD_BYTES] + block


def mended(block: bytes) -> bytes:
    """A header block, with `.` for each letter of its `:authority` that no host has.

    The name's length stays, or HPACK's tables at both ends would not forget at the same time.
    What we cannot read stays as it is: the engine says what is wrong with it.
    """
    try:
        begin, end, name = _authority(block)
    except (IndexError, KeyError):
        return block
    plain = bytes(letter if letter in _OF_A_HOST else ord(".") for letter in name)
    if plain == name:
        return block
    return block[:begin] + _number(len(plain)) + plain + block[end:]


def _authority(block: bytes) -> tuple[int, int, bytes]:
    """Where its value begins and ends in the block, and what it is. Raises IndexError, KeyError."""
    at = 0
    while True:
        kind = block[at]
        prefix = 7 if kind & 0x80 else 6 if kind & 0x40 else 5 if kind & 0x20 else 4
        index, at = _integer(block, at, prefix)
        if prefix in (7, 5):
            continue  # a field that both know; another size of the table
        field: int | bytes = index
        if index == 0:
            field, at = _string(block, at)
        begin = at
        value, at = _string(block, at)
        if field in AUTHORITY:
            return begin, at, _plain(value) if block[begin] & 0x80 else value


def _integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    most = (1 << prefix) - 1
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    for shift in (0, 7, 14):
        number += (block[at] & 0x7F) << shift
        at += 1
        if not block[at - 1] & 0x80:
            return number, at
    raise IndexError("a number of this size is no header field's")


def _number(number: int) -> bytes:
    """The head of a string without Huffman's code."""
    if number < 0x7F:
        return bytes((number,))
    found, number = bytearray((0x7F,)), number - 0x7F
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    size, at = _integer(block, at, 7)
    if at + size > len(block):
        raise IndexError("a string that is cut")
    return block[at : at + size], at + size


def _plain(value: bytes) -> bytes:
    """Raises KeyError for what is in no host's name."""
    found = bytearray()
    code = bits = 0
    for byte in value:
        for place in range(7, -1, -1):
            code, bits = code << 1 | byte >> place & 1, bits + 1
            letter = _CODES.get((bits, code))
            if letter is not None:
                found.append(letter)
                code = bits = 0
    if bits > 7 or code != (1 << bits) - 1:
        raise KeyError("not the end of a string")
    return bytes(found)
