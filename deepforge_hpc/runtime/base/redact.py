"""What of the environment may enter a record: an allow-list by name, then a filter by value."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from .files import load_json
from .secrets import secret_values

REDACTED = {"redacted": True}

_ALLOWED = (
    r"(SLURM_|OMP_|MKL_|OPENBLAS_|CUDA_|NVIDIA_VISIBLE_|ROCR_|HIP_|NCCL_|MPICH_|UCX_|OMPI_MCA_|FI_|"
    r"HOROVOD_|TF_|XLA_|KERAS_|TORCH_|PYTHONHASHSEED$|LD_LIBRARY_PATH$|PATH$|PYTHONPATH$|"
    r"LOADEDMODULES$|_LMFILES_$|CONDA_DEFAULT_ENV$|VIRTUAL_ENV$|LANG$|LC_|TZ$)"
)
"""Here and below: a pattern that is text is compiled when a record or a variable needs it."""
_PATHS = frozenset({"PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LOADEDMODULES", "_LMFILES_"})
_SERVICES = (
    "API|ACCESS|AUTH|BEARER|SESSION|REFRESH|SECURITY|DEPLOY|REGISTRY|OAUTH|"
    "HF|HUB|HUGGING_?FACE|GITHUB|GITLAB|GH|SLACK|WANDB|PYPI|ZENODO"
)
"""Whose token is a secret: that of a text's words, such as `pad_token`, is none."""
_NAMES = (
    r"(?:(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|(?:API|ACCESS|PRIVATE|SECRET)[_-]?KEY|"
    rf"(?:{_SERVICES})[_-]?TOKEN)S?)"
)
_SECRET_NAME = re.compile(
    rf"{_NAMES}|TOKEN(?!S|IZ|_SIZE|_LEN|_COUNT|_LIMIT)|PASSW|JWT|COOKIE|AUTH_?KEY|_(KEY|PASS|PWD)$",
    re.IGNORECASE,
)
"""Of a variable, which has a name of its own kind: any key is one."""
_PROVIDERS = (
    "OPENAI|ANTHROPIC|COHERE|MISTRAL|AWS|AZURE|GCP|GOOGLE|STRIPE|SENDGRID|TWILIO|WANDB|COMET|"
    "NEPTUNE|KAGGLE|HF|HUGGING_?FACE|GITHUB|GITLAB|SLACK|ZENODO|SSH|ENCRYPTION"
)
"""Whose key is a secret: that of a table, such as `sort_key`, is none."""
_ACCOUNTS = "DB|DATABASE|SQL|MYSQL|PG|POSTGRES|REDIS|MONGO|LDAP|SMTP|MAIL|FTP|SSH|USER|ADMIN|ROOT"
"""Whose `pass` is a password: that of a filter, such as `low_pass`, is none."""
_POINTERS = "FILE|PATH|DIR|ENV|NAME|VAR|VARIABLE|ID|LENGTH|LEN|SIZE|BITS|TYPE|POLICY|HASH"
"""After the name of a secret: what only says where it is, or how it looks."""
_SECRET_KEY = re.compile(
    rf".*({_NAMES}|AUTHORIZATION)[_.-]?\d{{0,3}}|"
    rf".*(API|ACCESS|PRIVATE|SECRET)[_-]?KEY[_.-](?!({_POINTERS})S?$)[A-Z0-9]+|"
    rf"(.*[_.-])?(({_PROVIDERS})[_-]?KEY|({_ACCOUNTS})[_-]?PASS)|"
    r"(.*[_.-])?(PWD|JWT|COOKIES?|AUTH_?KEY)|(.*\.)?TOKEN",
    re.IGNORECASE | re.DOTALL,
)
"""Of an attribute, or of a key in JSON: `pad_token` and `sort_key` are none."""
_WORD_OF_IT = r"""[^\s"',;&(){}\[\]]"""
_VALUE = (
    r"""[bru]{0,2}(?:"(?!\{)(?:[^"\\\n]|\\.)+"?|'(?!\{)(?:[^'\\\n]|\\.)+'?)|"""
    r"""\\{1,3}["'](?!\{)[^"'\\\n]+|"""
    rf"""(?!(?:NONE|NULL|TRUE|FALSE)(?!{_WORD_OF_IT})|[\w.]+\([^()\n]{{0,99}}\))"""
    rf"""{_WORD_OF_IT}+"""
)
"""In quotes of any kind to their end, or to the line's; else one word that is no call of code. What
begins with a bracket is none: `{inputs.key}`, or what `_READ_LATER` stands for."""
_LAST = rf"""(?=["']?{_WORD_OF_IT}+[ \t]{{0,4}}(?:["',;)}}\]]|$))"""
"""One word and nothing after it: `password: it is missing` is a sentence."""
_BY_PLACE = (
    r"""_PWD(?=["' \t]*[:=]["' \t]*[^\s/~.$])|"""
    r"""(?<![\w-])PWD(?=\\{0,3}["']?\s{0,4}[:=]\s{0,4}\\{0,3}["']?[^\s/~.$"']"""
    r"""[^\s/"',;&]{0,200}(?:[\s"',;&]|$))"""
)
"""`PWD` alone is mostly a folder: not where it has a slash."""
_IN_TEXT = rf"""(?:{_NAMES}|(?:(?<![\w-])|(?<=--))TOKEN|{_BY_PLACE})"""
_SCHEMES = r"BASIC|BEARER|TOKEN|API-?KEY|DIGEST|NEGOTIATE|JWT|OAUTH|AWS4-HMAC-SHA256"
_BLANK = r"[ \t]{0,4}"
_ASSIGNED = (
    rf"""({_IN_TEXT}(?:{_BLANK}=(?!=){_BLANK}|\\{{0,3}}["']\s{{0,4}}[:=]\s{{0,4}})"""
    r"""(?!["']?\[redacted|<)\[?|"""
    rf"""{_NAMES}:[ \t]{{1,4}}(?!\[redacted){_LAST}|"""
    rf"""(?<!/)(?!(?<![\w-])SECRETS?:){_NAMES}:(?![\s:/]|\[redacted|\d{{1,3}}\b){_LAST}|"""
    rf"""(?:^|[,;{{(])\s{{0,4}}TOKEN:[ \t]{{0,4}}(?![\s:/]|\[redacted|\d+\b){_LAST}|"""
    r"""AUTHORIZATION\\{0,3}["']?\s{0,4}[:=]\s{0,4}"""
    r"""(?!\[?["']?(?:[\w-]{1,30}[ ])?\[redacted)\[?["']?"""
    rf"""(?:(?:{_SCHEMES})[ ]|(?!(?:{_SCHEMES})[ ])(?:[a-z][\w-]{{0,30}}[ ]{_LAST})?)|"""
    rf"""(?<!-)--(?:[a-z0-9]{{1,20}}-){{0,3}}(?:{_NAMES}|TOKEN)[ ]+(?![-/.~<\[]))"""
    rf"""(?:{_VALUE})"""
)
"""In a text: `password=...`, `"api_key": "..."`, `--api-key ...`, `Authorization: Bearer ...`,
`password: ...` at the end of a line. Without a blank `secret:NAME` names one, `credentials:12` is a
line of a file, and `secret://x` or `a_password::b` something else.
"""
_PARTS = ("pass", "secret", "credent", "key", "token", "author", "pwd")
"""Of the names in `_ASSIGNED`, each of which has one: looked for first, as that is far cheaper."""
_TOKENS = {
    **dict.fromkeys(("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_"), r"\w{20,}"),
    "glpat-": r"[\w-]{16,}",
    "xox": r"[abeoprs]-[\w-]{10,}",
    "sk-": r"[\w-]{20,}",
    **dict.fromkeys(("AKIA", "ASIA"), "[A-Z0-9]{16}"),
    "AIza": r"[\w-]{30,}",
    "eyJ": r"[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
    "pypi-": r"[\w-]{30,}",
    "npm_": r"\w{30,}",
}
"""How tokens begin, which is looked for first as `_PARTS` are, and what follows."""
_SHORT = 100
"""Characters: in less than these the whole search costs less than to look for how tokens begin."""
_KEY = "-----BEGIN "
_TOKEN = re.compile(
    rf"\b(?:{'|'.join(first + rest for first, rest in _TOKENS.items())})|{_KEY}[A-Z ]*PRIVATE KEY"
)
_USERINFO = re.compile(
    r"(\b[a-zA-Z][a-zA-Z0-9+.-]{0,31}://)[^/@\s:]{0,256}:"
    r"""(?:[^/\s]{1,1024}|(?!\d{1,5}/)[^\s@"'{}<>$]{1,1024})@"""
)
"""Also with a slash in the password, which it should not have; after a port that is a path."""
_PLACEHOLDER = re.compile(r"<[^<>]*>|\[[A-Z]+\]")
_READ_LATER = re.compile(r"(?<!\w)\$(?=[\w({])")
"""In a shell's words, what is read when the program runs: `$PASSWORD`, `$(cat FILE)`."""
_NO_VALUE = re.compile(r"[-{$]")
"""What begins so after an option such as `--password` is no password, but says where it is."""
_PATH = r"(\$\w+|\$\{\w+\}|~)?/[^/]"
_WORD = r"[A-Za-z0-9+/_=-]{32,}"
_RUN = r"[a-z0-9]{32,}"
_HASH = r"[0-9a-f]+|[0-9a-df-np-sv-z]+|[a-z2-7]+"
"""In hexadecimal digits, those of nix, those of spack: of random runs of 32, one in twenty."""
_READABLE = r"(?<![^_+/=-])\d+(?![^_+/=-])|((?<![^_+/=-])[a-z]|[A-Z])[a-z]{2,}\d*"
"""Of a name that people give: `ResNet50`, `run_2024`. Of what is drawn at random it is a third."""
_MAX_LENGTH = 8192
_LEAST_PIN = 1000


@lru_cache(maxsize=1)
def _assigned() -> re.Pattern[str]:
    """Return `_ASSIGNED`, made when a text may have one: most jobs meet none."""
    return re.compile(_ASSIGNED, re.IGNORECASE | re.MULTILINE)


def describe_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the allow-listed variables, sorted; what looks like a secret is redacted."""
    return {
        name: filter_variable(name, environ[name])
        for name in sorted(environ)
        if re.match(_ALLOWED, name)
    }


def filter_value(value: Any) -> Any:
    """Return JSON data with every string that looks like a credential redacted."""
    if isinstance(value, str):
        return REDACTED if holds_credential(value) or _holds_secret(value) else value
    if isinstance(value, list):
        return [
            REDACTED if is_secret_of(before, item) else filter_value(item)
            for before, item in zip(["", *value], value, strict=False)
        ]
    if isinstance(value, dict):
        return {
            key: REDACTED
            if names_secret(key) and item and _may_be_secret(key, item)
            else filter_value(item)
            for key, item in value.items()
        }
    return value


def _may_be_secret(name: str, value: object) -> bool:
    """Tell whether a value under such a name may be one; `token: 3` is a number of a word.

    Of numbers those that people choose for it, of four digits or more; a password is any. A token
    may be a word that stands for others: `<pad>`.
    """
    is_token = name.casefold().endswith("token")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return not is_token and (abs(value) >= _LEAST_PIN or "pass" in name.casefold())
    return isinstance(value, (str, list, dict)) and not (is_token and _is_placeholder(value))


def names_secret(name: object) -> bool:
    """Tell whether a name is that of a secret: `db_password`, `api_key`, `Authorization`."""
    return isinstance(name, str) and _is_secret_key(name)


@lru_cache(maxsize=1024)
def _is_secret_key(name: str) -> bool:
    return _SECRET_KEY.fullmatch(name) is not None


def _is_placeholder(value: object) -> bool:
    """Tell whether a value stands for one: `<pad>` and `[CLS]` are tokens of another kind."""
    return isinstance(value, str) and _PLACEHOLDER.fullmatch(value) is not None


def is_secret_variable(name: str) -> bool:
    """Tell whether a variable's name is that of a secret: `HF_TOKEN`, `MYSQL_PWD`."""
    return _SECRET_NAME.search(name) is not None


def holds_credential(text: str) -> bool:
    """Tell whether a text shows a credential; not where it only says what reads one."""
    # What is read later is neither a password nor part of an address.
    known = _READ_LATER.sub("{/", text) if "$" in text else text
    found = _may_assign(known) and _assigned().search(known)
    found = found or _token(known) or ("://" in known and _USERINFO.search(known))
    return bool(found) or any(secret in known for secret in secret_values())


def _may_assign(text: str) -> bool:
    folded = text.casefold()  # as `_ASSIGNED` takes the long s and the sign of Kelvin for s and k
    return any(part in folded for part in _PARTS)


def _token(text: str) -> re.Match[str] | None:
    is_near = len(text) < _SHORT or _KEY in text or any(first in text for first in _TOKENS)
    return _TOKEN.search(text) if is_near else None


def is_secret_of(option: object, word: object) -> bool:
    """Tell whether a word is the secret that the option before it takes: `[--password, x]`."""
    is_option = isinstance(option, str) and option.startswith("-") and names_secret(option)
    return is_option and isinstance(word, str) and word != "" and not _NO_VALUE.match(word)


def _holds_secret(text: str) -> bool:
    """Tell whether a text is JSON with a secret in it, as TF_CONFIG may be."""
    if text.lstrip()[:1] not in {"{", "["}:
        return False
    try:
        value = load_json(text)
        return bool(filter_value(value) != value)
    except (ValueError, RecursionError):
        return False


def token_line(text: str) -> int:
    """Return the number of the first line with an access token or a private key, else 0."""
    found = _token(text)
    return text.count("\n", 0, found.start()) + 1 if found else 0


def filter_uri(uri: str) -> str:
    """Return a URI without user name and password."""
    return _USERINFO.sub(r"\1", uri)


def filter_text(text: str) -> str:
    """Return text for a person with credentials cut out."""
    for secret in secret_values():
        text = text.replace(secret, "[redacted]")
    if _may_assign(text):
        text = _assigned().sub(r"\1[redacted]", text)
    return _USERINFO.sub(r"\1…@", _TOKEN.sub("[redacted]", text))


def filter_variable(name: str, value: str) -> Any:
    """Return the value of a variable, or REDACTED if name or value are those of a secret."""
    text = value[:_MAX_LENGTH].encode("utf-8", "backslashreplace").decode()
    is_secret = is_secret_variable(name) or (_may_assign(text) and _assigned().search(text))
    if is_secret or filter_value(text) is REDACTED:
        return REDACTED
    if name not in _PATHS and any(_is_random(word) for word in _long_words(text)):
        return REDACTED
    return text


def _long_words(text: str) -> Iterator[str]:
    """Yield what may be a token: of a path no name below a folder that has the form of a hash.

    Package managers (spack, conda, nix) name folders by hashes, which look like secrets.
    """
    for item in re.split(r"[:;,\s]", text):
        parts = [item]
        if re.match(_PATH, item):
            first, *below = filter(None, item.split("/"))
            parts = [first, *(part for part in below if part != part.lower())]
            for part in below:
                if part == part.lower():
                    yield from (
                        run for run in re.findall(_RUN, part) if not re.fullmatch(_HASH, run)
                    )
        for part in parts:
            yield from re.findall(_WORD, part)


def _is_random(word: str) -> bool:
    """Tell whether a long word looks drawn at random: letters and digits, over 3.5 bits each."""
    if "/" in word and word.startswith("/"):
        return any(_is_random(part) for part in word.split("/") if len(part) >= 32)
    if not (re.search(r"[A-Za-z]", word) and re.search(r"\d", word)):
        return False
    readable = sum(len(found[0]) for found in re.finditer(_READABLE, word))
    if readable > 0.75 * sum(map(str.isalnum, word)):
        return False
    counts = Counter(word)
    entropy = -sum(n / len(word) * math.log2(n / len(word)) for n in counts.values())
    return entropy > 3.5
