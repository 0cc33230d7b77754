"""Seed text for the tiny tokenizers: bilingual clinical sentences put together from lists, with a fixed seed.

No real report, patient or dataset is behind it. Standard library only.
"""
import random

EN_SITE = ["right upper lobe", "right middle lobe", "right lower lobe", "left upper lobe", "left lower lobe", "lingula",
           "mediastinum", "right hilum", "left hilum", "pleural space", "trachea", "main bronchus", "pulmonary artery",
           "aorta", "pericardium", "left ventricle", "liver", "gallbladder", "spleen", "pancreas", "right kidney",
           "left kidney", "adrenal gland", "urinary bladder", "prostate", "uterus", "thoracic spine", "lumbar spine",
           "sternum", "ribs", "clavicle", "chest wall", "axilla", "thyroid", "frontal lobe", "temporal lobe",
           "parietal lobe", "occipital lobe", "cerebellum", "brain stem", "lateral ventricle", "basal ganglia",
           "femoral head", "knee joint", "meniscus", "rotator cuff"]
EN_FINDING = ["solid nodule", "ground-glass nodule", "part-solid nodule", "consolidation", "atelectasis", "cavity",
              "calcification", "pleural effusion", "pneumothorax", "emphysema", "bronchiectasis", "fibrosis", "mass",
              "enlarged lymph node", "thickening", "cyst", "hypodense lesion", "hyperdense focus", "haemorrhage",
              "infarct", "oedema", "fracture", "dislocation", "stenosis", "aneurysm", "thrombus", "stone", "hernia",
              "metastasis", "abscess", "degenerative change", "disc protrusion"]
EN_WORD = ["well defined", "ill defined", "smooth", "lobulated", "spiculated", "round", "oval", "irregular", "small",
           "large", "mild", "moderate", "severe", "stable", "new", "enlarging", "unchanged", "bilateral", "diffuse",
           "focal", "multiple", "single", "acute", "chronic", "likely benign", "suspicious", "indeterminate"]
EN_TEXT = [
    "There is a {w} {f} in the {s}, measuring {n} x {m} mm.",
    "No {f} is seen in the {s}.",
    "{W} {f} in the {s}, slice {n}, series {m}.",
    "The {s} is unremarkable. No evidence of {f}.",
    "Compared with the previous study, the {f} in the {s} is {w}.",
    "FINDINGS: {w} {f}, {s}. IMPRESSION: 1. {W} {f}. 2. Follow-up CT in {n} months is recommended.",
    "Findings:\n- {w} {f} in the {s} ({n} mm), slices {n}-{m}\n- heart size is normal\nImpression:\n1. {f}, {w}\n",
    "Question: is there a {f} in the {s}? Answer: yes",
    "Does the image show a {w} {f}? yes. Is the {s} normal? no",
    "The answer can only be \"yes\" or \"no\". yes no yes no",
    "Describe this image. Compare the images. What does the video show? Please write a structured report.",
    "You are a radiologist. Write the findings and the impression in English. This is a DRAFT.",
    "{{\"finding\": \"{f}\", \"site\": \"{s}\", \"size_mm\": {n}.{m}, \"slices\": [{n}, {m}]}}",
    "system user assistant tool function name arguments description parameters object string",
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided.",
    "Given a search query, retrieve relevant candidates that answer the query. Represent the user's input.",
    "The patient can't lie flat; it's likely that they've moved. We'll repeat it. I'm sure you'd agree.",
]
ZH_SITE = ["右肺上叶", "右肺中叶", "右肺下叶", "左肺上叶", "左肺下叶", "纵隔", "右肺门", "左肺门", "胸膜腔", "气管",
           "主支气管", "肺动脉", "主动脉", "心包", "左心室", "肝脏", "胆囊", "脾脏", "胰腺", "右肾", "左肾", "肾上腺",
           "膀胱", "前列腺", "子宫", "胸椎", "腰椎", "胸骨", "肋骨", "锁骨", "胸壁", "腋窝", "甲状腺", "额叶", "颞叶",
           "顶叶", "枕叶", "小脑", "脑干", "侧脑室", "基底节区", "股骨头", "膝关节", "半月板", "肩袖"]
ZH_FINDING = ["实性结节", "磨玻璃结节", "部分实性结节", "实变影", "肺不张", "空洞", "钙化灶", "胸腔积液", "气胸", "肺气肿",
              "支气管扩张", "纤维化", "肿块", "淋巴结肿大", "增厚", "囊肿", "低密度影", "高密度影", "出血", "梗死", "水肿",
              "骨折", "脱位", "狭窄", "动脉瘤", "血栓", "结石", "疝", "转移瘤", "脓肿", "退行性变", "椎间盘突出"]
ZH_WORD = ["边界清楚", "边界不清", "边缘光滑", "分叶状", "毛刺状", "圆形", "椭圆形", "不规则", "较小", "较大", "轻度", "中度",
           "重度", "稳定", "新发", "增大", "未见变化", "双侧", "弥漫性", "局灶性", "多发", "单发", "急性", "慢性", "良性可能",
           "可疑恶性", "性质待定"]
ZH_TEXT = [
    "{s}见{w}{f}，大小约{n}×{m}mm。",
    "{s}未见{f}。",
    "{s}形态、大小正常，密度均匀，未见明显{f}。",
    "与前片比较，{s}{f}{w}。",
    "影像所见：{s}{w}{f}。诊断意见：1. {f}，{w}；2. 建议{n}个月后复查CT。",
    "检查所见：\n- {s}{w}{f}（{n} mm），第{n}-{m}层\n诊断印象：\n1. {f}，{w}\n",
    "问题：{s}是否有{f}？回答：是。",
    "请描述这张图像，并用中文书写结构化报告。本报告为草稿，须经医师审核。",
    "患者主诉胸痛、咳嗽、发热，请结合临床及实验室检查。",
    "双肺纹理清晰，心影不大，双侧肋膈角锐利。",
]


def lines(n, seed=1):
    rng = random.Random(seed)
    for i in range(n):
        zh = i % 3 == 2
        text = rng.choice(ZH_TEXT if zh else EN_TEXT)
        w = rng.choice(ZH_WORD if zh else EN_WORD)
        yield text.format(w=w, W=w.capitalize(), f=rng.choice(ZH_FINDING if zh else EN_FINDING),
                          s=rng.choice(ZH_SITE if zh else EN_SITE), n=rng.randint(1, 99), m=rng.randint(1, 99))
