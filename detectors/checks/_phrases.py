"""All literals that any check looks for, in one automaton: each text is read once, whatever the number of lists."""

from enum import IntEnum
from functools import cache
from typing import Any, Final

from detectors.checks._forms import answer_lower, context_lower, prompt_lower
from watchkeeper.core.prepared import Prepared


class Group(IntEnum):  # a key that is hashed in C
    REFUSAL_ENGLISH = 0
    REFUSAL_CHINESE = 1
    IGNORE = 2
    """an instruction to leave instructions behind"""
    PERSONA = 3
    """a made-up self without limits"""
    EXTRACT = 4
    """a wish for the system prompt"""
    MARKUP = 5
    """a role or a tool forged in text"""
    TRANSLATE = 6
    PHONE = 7
    SECRET = 8
    DAMAGE = 9
    """UTF-8 that somebody read as another encoding"""


_PHRASES: Final[dict[Group, tuple[str, ...]]] = {
    Group.REFUSAL_ENGLISH: (
        "i can't assist", "i cannot assist", "i can't help with", "i cannot help with", "i can't provide",
        "i cannot provide", "i can't fulfill", "i cannot fulfill", "i can't comply", "i cannot comply",
        "i can't do that", "i cannot do that", "i can't support", "i cannot support", "i can't create",
        "i cannot create", "i can't write", "i cannot write", "i can't generate", "i cannot generate",
        "i can't engage", "i cannot engage", "i can't share", "i cannot share", "i can't give you",
        "i cannot give you", "i can't offer", "i cannot offer", "i can't discuss", "i cannot discuss",
        "i can't participate", "i cannot participate", "i can't answer", "i cannot answer", "i can't continue with",
        "i cannot continue with", "i can't help you", "i cannot help you", "i won't be able to",
        "i will not be able to", "i'm unable to", "i am unable to", "i'm not able to", "i am not able to",
        "i won't help", "i will not help", "i won't provide", "i will not provide", "i won't assist",
        "i will not assist", "i won't do that", "i must decline", "i have to decline", "i must refuse",
        "i have to refuse", "i refuse to", "i decline to", "i'd rather not", "can't assist with that",
        "cannot assist with that", "can't help with that", "cannot help with that", "unable to assist with",
        "unable to help with", "unable to provide", "unable to fulfill", "i'm sorry, but i can",
        "i am sorry, but i can", "i'm sorry, i can't", "i'm sorry, but as an ai",
        "as an ai language model, i can't", "as an ai language model, i cannot", "as an ai, i cannot",
        "as an ai, i can't", "i apologize, but i can", "it would be inappropriate to",
        "it is not appropriate to provide", "against my guidelines", "goes against my programming",
        "violates my guidelines", "not comfortable with", "i can't condone", "i cannot condone",
        "i cannot in good conscience", "i can't in good conscience", "let's talk about something else",
        "i'm not going to help", "i'm not going to provide",
    ),
    Group.REFUSAL_CHINESE: (
        "我无法提供", "我不能提供", "我无法协助", "我不能协助", "我无法帮助", "我不能帮助", "我无法回答",
        "我不能回答", "我无法满足", "我不能满足", "我无法为您", "我无法为你", "我不能为您", "我不能为你",
        "无法满足您的", "无法满足你的", "无法回答这个问题", "无法回答您的", "无法回答你的", "无法提供相关",
        "无法提供此类", "无法协助您", "无法协助你", "不便回答", "不能回答这个", "无法继续这个话题", "抱歉，我无法",
        "抱歉，我不能", "抱歉,我无法", "抱歉,我不能", "抱歉，但我无法", "抱歉，但我不能", "对不起，我无法",
        "对不起，我不能", "对不起,我无法", "对不起,我不能", "很抱歉，我无法", "很抱歉，我不能", "很抱歉，无法",
        "很抱歉，作为", "我拒绝", "恕我不能", "恕我无法", "我必须拒绝", "作为一个人工智能，我无法",
        "作为一个人工智能，我不能", "作为人工智能助手，我不能", "作为人工智能助手，我无法", "作为ai助手，我不能",
        "作为ai助手，我无法", "作为一个ai语言模型，我无法", "作为一个ai语言模型，我不能", "换个话题",
        "我还没有学会", "我还没学习如何回答",
    ),
    Group.IGNORE: (
        "ignore all previous", "ignore previous instructions", "ignore the previous instructions",
        "ignore all instructions", "ignore any previous", "ignore your previous", "ignore your instructions",
        "ignore the above", "ignore everything above", "ignore all the instructions", "ignore prior instructions",
        "ignore all prior", "disregard all previous", "disregard previous", "disregard the above",
        "disregard your instructions", "disregard all prior", "disregard any previous", "forget all previous",
        "forget your previous", "forget your instructions", "forget everything above",
        "forget all the instructions", "forget all your", "override your instructions", "override all previous",
        "new instructions:", "your new instructions are", "bypass your", "do not follow your guidelines",
        "without any restrictions", "without restrictions", "no restrictions", "no ethical guidelines",
        "no moral guidelines", "ignore ethical", "ignore any ethical", "ignores all", "never refuse",
        "can never refuse", "will never say no", "you cannot refuse", "can't refuse", "without censorship",
        "uncensored", "unfiltered", "no filters", "free of all restrictions", "not bound by",
        "free from the typical", "broken free", "no limitations", "content policy", "openai policy",
        "openai policies", "openai's policies", "openai guidelines", "openai's content", "ethical or moral",
        "moral or ethical", "ethics or morals", "regardless of legality", "regardless of ethic",
        "illegal or immoral", "immoral, unethical", "unethical, immoral", "no matter how", "忽略之前的", "忽略以上",
        "忽略上面的", "忽略前面的", "忽略所有", "无视之前的", "无视以上", "无视上面的", "忘记之前的", "忘记以上",
        "忘掉之前", "忘记你之前", "不要遵守", "绕过限制", "突破限制", "没有任何限制", "不受任何限制", "不受限制",
        "没有道德", "不考虑道德",
    ),
    Group.PERSONA: (
        "do anything now", "jailbreak", "developer mode", "act as dan", "you are dan", "named dan", "dan mode",
        "stay in character", "stay a dan", "stay in dan", "evil confidant", "opposite mode", "god mode", "devmode",
        "dev mode", "betterdan", "antigpt", "aim stands for", "always intelligent and machiavellian",
        "machiavellian", "amoral", "no morals", "unethical ai", "pretend you have no", "pretend to be an ai",
        "hypothetical ai", "two responses", "two different responses", "[🔓", "🔓", "chatgpt with", "jailbroken",
        "immoral", "you will have tokens", "lose tokens", "never break character", "you will always answer",
        "no matter what", "can do anything", "you will always respond", "pretend to be", "does not care about",
        "mongo tom", "stan (", "strive to avoid norms", "you are going to act as", "roleplay as an", "越狱",
        "开发者模式",
    ),
    Group.EXTRACT: (
        "reveal your system prompt", "reveal your instructions", "print your system prompt",
        "show your system prompt", "repeat your system prompt", "output your system prompt",
        "what is your system prompt", "repeat the words above", "repeat everything above",
        "print your instructions", "your initial instructions", "your initial prompt", "show me your prompt",
        "repeat your instructions", "输出你的系统提示", "你的系统提示词", "显示你的提示词", "重复你的指令",
        "重复上面的内容", "告诉我你的系统",
    ),
    Group.MARKUP: (
        "<|im_start|>", "<|im_end|>", "[/inst]", "<<sys>>", "<|system|>", "<|start_header_id|>", "### system:",
        "[system](#", "<important>",
    ),
    Group.TRANSLATE: (
        "translate", "translation", "translator", "in english", "in chinese", "in french", "in german",
        "in spanish", "in japanese", "in korean", "in russian", "in italian", "in portuguese", "in arabic",
        "into english", "into chinese", "to english", "to chinese", "to french", "to german", "to spanish",
        "to japanese", "to korean", "翻译", "译成", "译为", "用英文", "用英语", "用中文", "用汉语", "英文版",
        "英语版", "用日语", "用法语", "用德语", "用韩语", "用西班牙语", "用俄语", "übersetz", "auf englisch",
        "auf deutsch", "traduis", "en anglais", "en français", "traduce", "en inglés", "en español", "перевед",
        "翻訳", "英語で", "번역",
    ),
    Group.PHONE: (
        "手机", "电话", "联系方式", "致电", "来电", "微信", "phone", "mobile", "tel:", "tel.", "cell", "call me",
        "whatsapp",
    ),
    Group.SECRET: (
        "akia", "asia", "aiza", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "sk-", "sk_live_",
        "rk_live_", "sk_test_", "xoxb-", "xoxp-", "xoxa-", "xapp-", "hf_", "npm_", "pypi-", "eyj", "-----begin ",
        "ltai", "akid", "sg.", "dop_v1_", "shpat_", "ya29.", "gsk_", "hooks.slack.com/services/", "password",
        "passwd", "secret", "api_key", "api-key", "apikey", "access_key", "access-token", "access_token", "密码",
        "密钥", "口令", "://",
    ),
    Group.DAMAGE: (
        "锟斤拷", "烫烫烫", "屯屯屯", "浣犲", "鎴戜", "涓€", "鏄", "鐨勬", "鍦ㄧ", "锛屾", "銆傛", "鈥", "锛", "銆",
        "绋嬪簭", "缂栫爜", "â€™", "â€œ", "â€“", "â€”", "â€¦", "â€˜", "â€¢",
    ),
}  # fmt: skip
_GROUPS: Final = tuple(group for group, phrases in _PHRASES.items() for _ in phrases)
_MAX_HITS: Final = 2_000

Hits = dict[Group, list[int]]
"""where literals of a group begin"""


@cache
def _automaton() -> Any:
    import ahocorasick_rs

    return ahocorasick_rs.AhoCorasick(
        [phrase for phrases in _PHRASES.values() for phrase in phrases],
        implementation=ahocorasick_rs.Implementation.ContiguousNFA,
    )


def answer_hits(call: Prepared) -> Hits:
    return find(call.form(answer_lower))


def prompt_hits(call: Prepared) -> Hits:
    return find(call.form(prompt_lower))


def context_hits(call: Prepared) -> Hits:
    return find(call.form(context_lower))


def find(low: str, most: int | None = _MAX_HITS) -> Hits:
    """:param low: as `lower` makes it"""
    hits: Hits = {}
    for pattern, start, _ in _automaton().find_matches_as_indexes(low, overlapping=True)[:most]:
        hits.setdefault(_GROUPS[pattern], []).append(start)
    return hits


def prepare() -> None:
    """Build the automaton now, not with the first answer."""
    _automaton()
