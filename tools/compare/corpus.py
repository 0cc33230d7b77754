"""Text for comparing tokenizers: written for the purpose and drawn from seeds, so that everybody has the same.

Each function gives a list of documents (str). Patients are invented.
"""
import os
import random
import sys
import unicodedata

ENGLISH = """The patient is a 67-year-old man with a 4.5 x 3.2 cm mass in the right upper lobe, spiculated, FDG-avid (SUVmax 11.3).
No pleural effusion; no pneumothorax. Heart size is normal. Impression: 1. suspicious for primary lung carcinoma (T2a N1 M0), 2. mild emphysema.
BP 142/88 mmHg, HR 96/min, SpO2 93% on 2 L/min, T 38.4°C. WBC 13.2×10⁹/L, CRP 87 mg/L, creatinine 1.1 mg/dL (eGFR ≈ 68 mL/min/1.73 m²).
She'll need follow-up; we've told the family, they're informed and it's documented. I'd recommend that he doesn't drive.
Rx: amoxicillin/clavulanate 875/125 mg p.o. b.i.d. × 7 d; paracetamol 1 g q6h p.r.n.; enoxaparin 40 mg s.c. q24h
IMPRESSION: No acute intracranial haemorrhage. Age-appropriate involutional changes. ASPECTS = 10.""".split("\n")
CHINESE = """患者男性，65岁，因“反复咳嗽、咳痰3月余，加重伴胸闷1周”入院。既往高血压病史10年，最高血压180/110mmHg。
胸部CT平扫：右肺上叶见大小约4.5cm×3.2cm软组织肿块影，边缘毛刺，邻近胸膜牵拉；纵隔淋巴结肿大，短径约1.4cm。
印象：1、右肺上叶占位性病变，考虑周围型肺癌可能大，建议穿刺活检；2、双肺散在肺气肿；3、主动脉及冠状动脉钙化。
血常规：白细胞13.2×10⁹/L，中性粒细胞百分比85.6%，血红蛋白121g/L，血小板256×10⁹/L。肌酐88μmol/L，尿素氮6.2mmol/L。
康复训练：患者取仰卧位，屈髋屈膝，缓慢抬起臀部至肩、髋、膝成一直线，保持5秒后放下，重复10次为一组，每日3组。
請於飯後服用，如有不適，應立即停藥並聯絡醫師。㎎、㎝、℃、①②③、ⅠⅡⅢ、（一）【结论】《指南》""".split("\n")
OTHER = """Röntgenbefund: Kein Nachweis eines Infiltrates; größenregelrechtes Herz, Zwerchfellkuppen glatt begrenzt. Straße, Übelkeit.
¿Tiene usted dolor en el pecho? Sí, desde anoche — «muy fuerte», náuseas también. L'œdème pulmonaire aigu n'est pas exclu.
Пациент жалуется на кашель с мокротой в течение 3 недель; аускультативно — влажные хрипы. Αξονική τομογραφία θώρακος.
患者は67歳の男性で、右肺上葉に4.5cmの結節を認めた。ガギグゲゴ、パピプペポ、ｶﾀｶﾅ、ㇰㇱ。
환자는 67세 남성으로 우상엽에 4.5cm 크기의 종괴가 관찰됨. 흉수 없음. 각갂갃 힣
रोगी को तीन सप्ताह से खाँसी है। क़ख़ग़ज़ड़ढ़फ़य़ रक्तचाप १४२/८८ க்ஷ ตรวจพบก้อนในปอดขวา น้ำ ກຳ
المريض يعاني من سعال مُزمن منذ ثلاثة أسابيع. ١٢٣ العمر ٦٥ سنة החולה מתלונן על שִׁעוּל כבר שלושה שבועות.
Bệnh nhân nam, 67 tuổi, ho khạc đờm kéo dài; tổn thương thùy trên phổi phải. İstanbul'da ışık Åse ǆ ﬁ ﬆ""".split("\n")
CODE = """static int clamp(int v, int lo, int hi)\n{\n\treturn v < lo ? lo : v > hi ? hi : v;\n}\n
for (size_t i = 0; i < n_row; i++) {\r\n    y[i] += w[i] * x[i];   /* fused? no */\r\n}\r\n
def window(px, c=40.0, w=400.0):\n    return np.clip((px - (c - 0.5)) / (w - 1) + 0.5, 0, 1) * 255\n\n\n
{"resourceType":"DiagnosticReport","status":"preliminary","code":{"coding":[{"system":"http://loinc.org","code":"24627-2"}]}}
SELECT id, uid FROM study WHERE patient = ? AND modality IN ('CT','MR') ORDER BY acquired DESC LIMIT 10;--
<div class="a b">&nbsp;&lt;p&gt;</div>\n<!-- x --> #!/bin/sh\nset -eu; echo "$@" | sed -e 's/\\\\n/ /g' >&2 && exit 0
- [ ] **bold** _it_ `code` | a | b |\n|---|---:|\n| 1 | 2.5e-10 | 0xFFEE |\n\n## 3.1.2 Title\n\n\t* item""".split("\n\n")
EMOJI = ["👨‍👩‍👧‍👦", "🏥", "👩🏽‍⚕️", "🇨🇳🇩🇪", "❤️", "☢️", "1️⃣", "🫁", "🧑‍🦽‍➡️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "😷🤒", "⚕", "💊💉", "✅", "→", "≥", "±", "µ", "Å", "Ω", "K"]
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\u00a0", "\u3000", "\u2009", "\u2028", "\x0b", "\x0c", "\x85", "\u200b", "\ufeff", " \t\n\r"]
APOSTROPHES = ["'s", "'S", "'t", "'re", "'RE", "'rE", "'ve", "'m", "'ll", "'LL", "'d", "'ſ", "'x", "'", "''s", "’s", " 's", "'1", "'\u0301s"]
JAMO = [chr(c) for c in (0x1100, 0x1112, 0x1113, 0x115F, 0x1160, 0x1161, 0x1175, 0x1176, 0x11A7, 0x11A8, 0x11C2, 0x11C3, 0xAC00, 0xAC01, 0xAC1C, 0xD7A3, 0xA960, 0xD7B0)]


def assigned():
    """Every assigned code point but the private use areas, of which the ends stand for all."""
    ends = [0xE000, 0xE001, 0xF8FF, 0xF0000, 0xFFFFD, 0x100000, 0x10FFFD]
    return [c for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")] + ends


def every():
    return [c for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]


def prose(r, n_char):
    """What a hospital writes: lines of several languages, code and numbers."""
    lines = ENGLISH * 4 + CHINESE * 4 + OTHER + CODE * 2
    words = [w for line in ENGLISH + OTHER for w in line.split()]
    docs, n = [], 0
    while n < n_char:
        parts = []
        for _ in range(r.randint(1, 40)):
            x = r.random()
            if x < 0.5:
                parts.append(r.choice(lines))
            elif x < 0.8:
                parts.append(" ".join(r.choices(words, k=r.randint(3, 20))))
            elif x < 0.9:
                line = r.choice(CHINESE)
                at = r.randrange(len(line))
                parts.append(line[at:at + r.randint(1, 60)])
            else:
                parts.append("%s: %.*f %s" % (r.choice(words), r.randint(0, 4), r.uniform(0, 5000), r.choice(["mg", "mmol/L", "cm", "次/分"])))
            parts.append(r.choice(["\n", "\n", " ", "\n\n", ". ", "。"]))
        docs.append("".join(parts))
        n += len(docs[-1])
    return docs


def system_files(n_char):
    """Documentation, change logs and locale sources of the machine, where there are any."""
    docs, n = [], 0
    for top, limit in (("/usr/share/i18n/locales", 20000), ("/usr/share/common-licenses", 30000),
                       ("/usr/share/perl", 20000), ("/usr/share/doc", 8000)):
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if n >= n_char or name.endswith((".gz", ".png", ".jpg", ".pdf")) or not os.path.isfile(path):
                    continue
                with open(path, "rb") as f:
                    docs.append(f.read(limit).decode("utf-8", "replace"))
                n += len(docs[-1])
    return docs


def nfd(docs):
    return [unicodedata.normalize("NFD", d) for d in docs]


def code_points():
    """Every assigned code point alone; every one there is between letters, digits, spaces and signs."""
    docs = [chr(c) for c in assigned()]
    chars = [chr(c) for c in every()]
    for i in range(0, len(chars), 128):
        docs.append("".join("a%s1" % c for c in chars[i:i + 128]))
    chars = [chr(c) for c in assigned()]
    for i in range(0, len(chars), 64):
        docs.append("".join("%s %s. %s\n'%s's%s%s" % (c, c, c, c, c, c) for c in chars[i:i + 64]))
    return docs


def marks(r, n_doc):
    """Combining marks of all classes in any order, behind starters that compose and such that do not."""
    classes = [chr(c) for c in every() if unicodedata.combining(chr(c))]
    common = [chr(c) for c in range(0x300, 0x346)]
    starters = [chr(c) for c in every() if c > 0x40 and unicodedata.decomposition(chr(c))[:1] not in ("", "<")]
    plain = list("aeoAEOqxΑωаゝかकড়ড१1 .\n") + JAMO
    docs = []
    for _ in range(n_doc):
        parts = []
        for _ in range(r.randint(1, 12)):
            parts.append(r.choice(plain) if r.random() < 0.5 else r.choice(starters))
            pool = common if r.random() < 0.6 else classes
            parts.extend(r.choices(pool, k=r.choice([0, 1, 1, 2, 3, 5, 40])))
        docs.append(unicodedata.normalize(r.choice(["NFC", "NFD"]), "".join(parts)) if r.random() < 0.3 else "".join(parts))
    for c in starters:  # every composition, written apart
        docs.append(unicodedata.normalize("NFD", c))
    return docs


def fuzz(r, n_doc, added):
    """Anything after anything."""
    any_char = [chr(c) for c in assigned()]
    ascii_char = [chr(c) for c in range(128)]
    low = [chr(c) for c in range(0x80, 0x800)]
    pools = [(6, SPACES), (3, APOSTROPHES), (3, JAMO), (3, EMOJI), (4, added), (6, ascii_char), (3, low), (3, any_char),
             (4, "the patient CT MRI 肺 部 结节 0 1 25 %s mg <| |> <think >".split(" ")), (1, ["a" * 200, "0" * 50, "<" * 40, "哈" * 90, "=" * 80])]
    weights = [w for w, _ in pools]
    docs = []
    for _ in range(n_doc):
        k = r.choice([1, 2, 3, 5, 10, 30, 100])
        weights_now = weights if r.random() < 0.7 else [w * r.choice([0, 0, 1, 8]) + 0.01 for w in weights]
        docs.append("".join(r.choice(p[1]) for p in r.choices(pools, weights_now, k=k)))
    return docs


def lumps(r):
    """Long pieces: nothing in them to break at."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["a" * 5000, "ab" * 4000, "".join(r.choices(letters, k=20000)), "".join(r.choices("ACGT", k=20000)),
            "".join(r.choices("肺部结节影像诊断患者", k=6000)), " " * 3000, "\n" * 3000, " \n" * 2000, "=-" * 3000,
            "é" * 3000, "e\u0301\u0316" * 2000, "\u0301\u0316" * 2000, "👨‍👩‍👧" * 500, "्" * 2000,
            "".join(r.choices("".join(EMOJI), k=4000))]
