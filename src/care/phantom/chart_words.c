/* What synthetic charts are made of: measurements with plausible values, drugs, substances, diseases, imaging. */
#include "base/compiler.h"
#include "care/phantom/chart_inner.h"

#define OPEN CHART_NO_LIMIT

/* clang-format off */
const wd_chart__test wd_chart__tests[] = {
    /* name               unit      UCUM         dec low   high  least most  vital */
    { "potassium",         "mmol/L", "mmol/L",    1, 35,   53,   26,   67,   false },
    { "sodium",            "mmol/L", "mmol/L",    0, 137,  147,  121,  158,  false },
    { "creatinine",        "umol/L", "umol/L",    0, 57,   111,  38,   420,  false },
    { "urea",              "mmol/L", "mmol/L",    1, 31,   80,   18,   260,  false },
    { "glucose",           "mmol/L", "mmol/L",    1, 39,   61,   27,   189,  false },
    { "hemoglobin",        "g/L",    "g/L",       0, 115,  175,  62,   191,  false },
    { "white cells",       "10^9/L", "10*9/L",    1, 35,   95,   11,   241,  false },
    { "platelets",         "10^9/L", "10*9/L",    0, 125,  350,  24,   610,  false },
    { "CRP",               "mg/L",   "mg/L",      1, OPEN, 100,  5,    1890, false },
    { "ALT",               "U/L",    "U/L",       0, 9,    50,   6,    390,  false },
    { "albumin",           "g/L",    "g/L",       0, 40,   55,   19,   58,   false },
    { "bilirubin",         "umol/L", "umol/L",    1, OPEN, 230,  31,   1420, false },
    { "HbA1c",             "%",      "%",         1, 40,   60,   37,   128,  false },
    { "INR",               NULL,     "{INR}",     2, 80,   120,  80,   480,  false },
    { "D-dimer",           "mg/L",   "mg/L{FEU}", 2, OPEN, 50,   11,   870,  false },
    { "LDL cholesterol",   "mmol/L", "mmol/L",    1, OPEN, 34,   11,   72,   false },
    { "TSH",               "mIU/L",  "m[IU]/L",   2, 40,   400,  6,    1870, false },
    { "troponin",          "ug/L",   "ug/L",      2, OPEN, 4,    1,    340,  false },
    { "lactate",           "mmol/L", "mmol/L",    1, 5,    22,   4,    98,   false },
    { "heart rate",        "/min",   "/min",      0, 60,   100,  42,   148,  true },
    { "blood pressure",    "mmHg",   "mm[Hg]",    0, OPEN, OPEN, 86,   198,  true },
    { "temperature",       "°C",     "Cel",       1, 360,  373,  352,  402,  true },
    { "oxygen saturation", "%",      "%",         0, 94,   OPEN, 82,   100,  true },
    { "respiratory rate",  "/min",   "/min",      0, 12,   20,   9,    34,   true },
    { "weight",            "kg",     "kg",        1, OPEN, OPEN, 430,  1190, true },
};
const size_t wd_chart__n_test = WD_COUNT(wd_chart__tests);

/* Which of wd_chart__frequencies a drug is given at. */
enum { ONCE = 1, TWICE = 2, THRICE = 4, ALTERNATE = 8, WEEKLY = 16 };

const wd_chart__drug wd_chart__drugs[] = {
    { { { "metformin", "二甲双胍" } }, "A10BA02", "mg", "mg", { 500000, 850000, 1000000 }, ONCE | TWICE | THRICE, false },
    { { { "gliclazide", "格列齐特" } }, "A10BB09", "mg", "mg", { 30000, 60000, 80000 }, ONCE | TWICE, false },
    { { { "insulin glargine", "甘精胰岛素" } }, "A10AE04", "U", "[iU]", { 10000, 16000, 22000 }, ONCE, false },
    { { { "ramipril", "雷米普利" } }, "C09AA05", "mg", "mg", { 2500, 5000, 10000 }, ONCE, false },
    { { { "losartan", "氯沙坦" } }, "C09CA01", "mg", "mg", { 25000, 50000, 100000 }, ONCE, false },
    { { { "amlodipine", "氨氯地平" } }, "C08CA01", "mg", "mg", { 2500, 5000, 10000 }, ONCE, false },
    { { { "bisoprolol", "比索洛尔" } }, "C07AB07", "mg", "mg", { 1250, 2500, 5000 }, ONCE, false },
    { { { "metoprolol", "美托洛尔" } }, "C07AB02", "mg", "mg", { 23750, 47500, 95000 }, ONCE, false },
    { { { "furosemide", "呋塞米" } }, "C03CA01", "mg", "mg", { 20000, 40000, 80000 }, ONCE | TWICE, false },
    { { { "spironolactone", "螺内酯" } }, "C03DA01", "mg", "mg", { 12500, 25000, 50000 }, ONCE, false },
    { { { "atorvastatin", "阿托伐他汀" } }, "C10AA05", "mg", "mg", { 10000, 20000, 40000 }, ONCE, false },
    { { { "rosuvastatin", "瑞舒伐他汀" } }, "C10AA07", "mg", "mg", { 5000, 10000, 20000 }, ONCE, false },
    { { { "aspirin", "阿司匹林" } }, "B01AC06", "mg", "mg", { 75000, 100000, 0 }, ONCE, false },
    { { { "clopidogrel", "氯吡格雷" } }, "B01AC04", "mg", "mg", { 75000, 0, 0 }, ONCE, false },
    { { { "warfarin", "华法林" } }, "B01AA03", "mg", "mg", { 2500, 3000, 5000 }, ONCE, false },
    { { { "apixaban", "阿哌沙班" } }, "B01AF02", "mg", "mg", { 2500, 5000, 0 }, TWICE, false },
    { { { "rivaroxaban", "利伐沙班" } }, "B01AF01", "mg", "mg", { 10000, 15000, 20000 }, ONCE, false },
    { { { "digoxin", "地高辛" } }, "C01AA05", "mg", "mg", { 62, 125, 250 }, ONCE | ALTERNATE, false },
    { { { "omeprazole", "奥美拉唑" } }, "A02BC01", "mg", "mg", { 20000, 40000, 0 }, ONCE | TWICE, false },
    { { { "pantoprazole", "泮托拉唑" } }, "A02BC02", "mg", "mg", { 20000, 40000, 0 }, ONCE | TWICE, false },
    { { { "levothyroxine", "左甲状腺素" } }, "H03AA01", "ug", "ug", { 25000, 50000, 100000 }, ONCE, false },
    { { { "prednisolone", "泼尼松龙" } }, "H02AB06", "mg", "mg", { 5000, 10000, 20000 }, ONCE | ALTERNATE, false },
    { { { "amoxicillin", "阿莫西林" } }, "J01CA04", "mg", "mg", { 250000, 500000, 0 }, THRICE, false },
    { { { "azithromycin", "阿奇霉素" } }, "J01FA10", "mg", "mg", { 250000, 500000, 0 }, ONCE, false },
    { { { "levofloxacin", "左氧氟沙星" } }, "J01MA12", "mg", "mg", { 250000, 500000, 750000 }, ONCE, false },
    { { { "ibuprofen", "布洛芬" } }, "M01AE01", "mg", "mg", { 200000, 400000, 600000 }, TWICE | THRICE, false },
    { { { "paracetamol", "对乙酰氨基酚" } }, "N02BE01", "mg", "mg", { 500000, 1000000, 0 }, TWICE | THRICE, false },
    { { { "tramadol", "曲马多" } }, "N02AX02", "mg", "mg", { 50000, 100000, 0 }, TWICE, false },
    { { { "gabapentin", "加巴喷丁" } }, "N03AX12", "mg", "mg", { 100000, 300000, 600000 }, THRICE, false },
    { { { "sertraline", "舍曲林" } }, "N06AB06", "mg", "mg", { 25000, 50000, 100000 }, ONCE, false },
    { { { "allopurinol", "别嘌醇" } }, "M04AA01", "mg", "mg", { 100000, 200000, 300000 }, ONCE, false },
    { { { "tamsulosin", "坦索罗辛" } }, "G04CA02", "mg", "mg", { 200, 400, 0 }, ONCE, true },
    { { { "methotrexate", "甲氨蝶呤" } }, "L04AX03", "mg", "mg", { 7500, 10000, 15000 }, WEEKLY, false },
    { { { "alendronate", "阿仑膦酸钠" } }, "M05BA04", "mg", "mg", { 70000, 0, 0 }, WEEKLY, false },
};
const size_t wd_chart__n_drug = WD_COUNT(wd_chart__drugs);

const wd_chart__frequency wd_chart__frequencies[] = {
    { { { "once daily", "每日一次" } }, 1, 1 },
    { { { "twice daily", "每日两次" } }, 2, 1 },
    { { { "three times daily", "每日三次" } }, 3, 1 },
    { { { "every other day", "隔日一次" } }, 1, 2 },
    { { { "once weekly", "每周一次" } }, 1, 7 },
};
const size_t wd_chart__n_frequency = WD_COUNT(wd_chart__frequencies);

const wd_chart__substance wd_chart__substances[] = {
    { { { "penicillins", "青霉素类" } }, { { "penicillin", "青霉素" } }, "medication", "J01C" },
    { { { "cephalosporins", "头孢菌素类" } }, { { "cephalosporin", "头孢菌素" } }, "medication", NULL },
    { { { "macrolides", "大环内酯类" } }, { { "macrolide antibiotics", "大环内酯类抗生素" } }, "medication", "J01F" },
    { { { "quinolones", "喹诺酮类" } }, { { "quinolone antibiotics", "喹诺酮类抗生素" } }, "medication", "J01M" },
    { { { "sulfonamides", "磺胺类" } }, { { "sulfa drugs", "磺胺" } }, "medication", NULL },
    { { { "NSAIDs", "非甾体抗炎药" } }, { { "non-steroidal anti-inflammatory drugs", "非甾体类止痛药" } }, "medication", "M01A" },
    { { { "opioids", "阿片类" } }, { { "opioid analgesics", "阿片类镇痛药" } }, "medication", "N02A" },
    { { { "ACE inhibitors", "血管紧张素转换酶抑制剂" } }, { { "ACE inhibitor drugs", "ACE抑制剂" } }, "medication", "C09A" },
    { { { "iodinated contrast", "含碘对比剂" } }, { { "iodine contrast media", "碘造影剂" } }, "medication", NULL },
    { { { "latex", "乳胶" } }, { { "natural rubber latex", "天然橡胶" } }, "environment", NULL },
    { { { "peanuts", "花生" } }, { { "peanut", "花生制品" } }, "food", NULL },
    { { { "shellfish", "甲壳类海鲜" } }, { { "crustaceans", "虾蟹" } }, "food", NULL },
    { { { "eggs", "鸡蛋" } }, { { "hen's eggs", "蛋类" } }, "food", NULL },
};
const size_t wd_chart__n_substance = WD_COUNT(wd_chart__substances);

/* The dangerous ones first. */
const wd_chart__text wd_chart__reactions[] = {
    { { "anaphylaxis", "过敏性休克" } }, { { "angioedema", "血管性水肿" } }, { { "bronchospasm", "支气管痉挛" } },
    { { "rash", "皮疹" } }, { { "urticaria", "荨麻疹" } }, { { "itching", "瘙痒" } }, { { "facial flushing", "面部潮红" } },
};
const size_t wd_chart__n_reaction = WD_COUNT(wd_chart__reactions);

const wd_chart__disease wd_chart__diseases[] = {
    { { { "hypertension", "高血压" } }, "I10", false },
    { { { "diabetes mellitus", "糖尿病" } }, "E14.9", false },
    { { { "asthma", "哮喘" } }, "J45.9", false },
    { { { "COPD", "慢性阻塞性肺疾病" } }, "J44.9", false },
    { { { "atrial fibrillation", "心房颤动" } }, "I48.9", false },
    { { { "heart failure", "心力衰竭" } }, "I50.9", false },
    { { { "coronary heart disease", "冠心病" } }, "I25.1", false },
    { { { "chronic kidney disease", "慢性肾脏病" } }, "N18.9", false },
    { { { "hyperlipidemia", "高脂血症" } }, "E78.5", false },
    { { { "hypothyroidism", "甲状腺功能减退" } }, "E03.9", false },
    { { { "gout", "痛风" } }, "M10.9", false },
    { { { "osteoporosis", "骨质疏松" } }, "M81.9", false },
    { { { "epilepsy", "癫痫" } }, "G40.9", false },
    { { { "migraine", "偏头痛" } }, "G43.9", true },
    { { { "depression", "抑郁症" } }, "F32.9", true },
    { { { "iron deficiency anemia", "缺铁性贫血" } }, "D50.9", true },
    { { { "pneumonia", "肺炎" } }, "J18.9", true },
    { { { "urinary tract infection", "尿路感染" } }, "N39.0", true },
    { { { "gallstone disease", "胆囊结石" } }, "K80.2", true },
    { { { "pulmonary embolism", "肺栓塞" } }, "I26.9", true },
    { { { "deep vein thrombosis", "深静脉血栓" } }, "I80.2", true },
    { { { "gastric ulcer", "胃溃疡" } }, "K25.9", true },
};
const size_t wd_chart__n_disease = WD_COUNT(wd_chart__diseases);

const wd_chart__study_kind wd_chart__study_kinds[] = {
    { { { "chest CT", "胸部CT" } }, "CT", "lung" },
    { { { "abdominal CT", "腹部CT" } }, "CT", "belly" },
    { { { "head CT", "头部CT" } }, "CT", "brain" },
    { { { "brain MRI", "头颅磁共振" } }, "MR", "brain" },
    { { { "knee MRI", "膝关节磁共振" } }, "MR", "knee" },
    { { { "lumbar spine MRI", "腰椎磁共振" } }, "MR", "spine" },
    { { { "chest X-ray", "胸部X线" } }, "DX", "chest film" },
    { { { "knee X-ray", "膝关节X线" } }, "DX", "knee film" },
    { { { "abdominal ultrasound", "腹部超声" } }, "US", "belly" },
    { { { "thyroid ultrasound", "甲状腺超声" } }, "US", "thyroid" },
};
const size_t wd_chart__n_study_kind = WD_COUNT(wd_chart__study_kinds);

const wd_chart__finding wd_chart__findings[] = {
    { "lung", { { "{n} mm nodule in the right upper lobe", "右肺上叶{n} mm结节" } }, 4, 29 },
    { "lung", { { "{n} mm nodule in the left upper lobe", "左肺上叶{n} mm结节" } }, 4, 29 },
    { "lung", { { "{n} mm nodule in the right lower lobe", "右肺下叶{n} mm结节" } }, 4, 29 },
    { "lung", { { "{n} mm nodule in the left lower lobe", "左肺下叶{n} mm结节" } }, 4, 29 },
    { "lung", { { "Consolidation in the right lower lobe", "右肺下叶实变" } }, 0, 0 },
    { "lung", { { "Consolidation in the left lower lobe", "左肺下叶实变" } }, 0, 0 },
    { "lung", { { "Small right pleural effusion", "右侧少量胸腔积液" } }, 0, 0 },
    { "lung", { { "Small left pleural effusion", "左侧少量胸腔积液" } }, 0, 0 },
    { "lung", { { "Upper lobe emphysema", "上肺肺气肿" } }, 0, 0 },
    { "lung", { { "No focal lung lesion", "肺内未见局灶性病变" } }, 0, 0 },
    { "belly", { { "{n} mm simple cyst in the liver", "肝脏{n} mm单纯囊肿" } }, 5, 44 },
    { "belly", { { "{n} mm stone in the gallbladder", "胆囊{n} mm结石" } }, 4, 24 },
    { "belly", { { "{n} mm stone in the left kidney", "左肾{n} mm结石" } }, 3, 15 },
    { "belly", { { "{n} mm stone in the right kidney", "右肾{n} mm结石" } }, 3, 15 },
    { "belly", { { "Fatty liver", "脂肪肝" } }, 0, 0 },
    { "belly", { { "No free fluid", "未见游离液体" } }, 0, 0 },
    { "brain", { { "No intracranial hemorrhage", "未见颅内出血" } }, 0, 0 },
    { "brain", { { "Old lacunar infarct in the left basal ganglia", "左侧基底节陈旧性腔隙性梗死" } }, 0, 0 },
    { "brain", { { "Old lacunar infarct in the right basal ganglia", "右侧基底节陈旧性腔隙性梗死" } }, 0, 0 },
    { "brain", { { "{n} mm meningioma at the left convexity", "左侧凸面{n} mm脑膜瘤" } }, 6, 35 },
    { "brain", { { "Mild white matter changes", "轻度白质改变" } }, 0, 0 },
    { "knee", { { "Medial meniscus tear", "内侧半月板撕裂" } }, 0, 0 },
    { "knee", { { "Lateral meniscus tear", "外侧半月板撕裂" } }, 0, 0 },
    { "knee", { { "Moderate medial joint space narrowing", "内侧关节间隙中度变窄" } }, 0, 0 },
    { "knee", { { "No fracture", "未见骨折" } }, 0, 0 },
    { "knee", { { "{n} mm Baker cyst", "{n} mm腘窝囊肿" } }, 8, 48 },
    { "knee film", { { "Medial joint space narrowing", "内侧关节间隙变窄" } }, 0, 0 },
    { "knee film", { { "Patellar osteophytes", "髌骨骨赘形成" } }, 0, 0 },
    { "knee film", { { "Small joint effusion", "少量关节积液" } }, 0, 0 },
    { "knee film", { { "No fracture", "未见骨折" } }, 0, 0 },
    { "chest film", { { "{n} mm nodule in the right upper zone", "右上肺野{n} mm结节" } }, 9, 29 },
    { "chest film", { { "{n} mm nodule in the left lower zone", "左下肺野{n} mm结节" } }, 9, 29 },
    { "chest film", { { "Consolidation in the right lower zone", "右下肺野实变" } }, 0, 0 },
    { "chest film", { { "Small left pleural effusion", "左侧少量胸腔积液" } }, 0, 0 },
    { "chest film", { { "Enlarged heart", "心影增大" } }, 0, 0 },
    { "chest film", { { "No focal lung lesion", "肺内未见局灶性病变" } }, 0, 0 },
    { "spine", { { "Disc herniation at L4/L5", "L4/L5椎间盘突出" } }, 0, 0 },
    { "spine", { { "Disc herniation at L5/S1", "L5/S1椎间盘突出" } }, 0, 0 },
    { "spine", { { "Mild spinal canal stenosis", "轻度椎管狭窄" } }, 0, 0 },
    { "spine", { { "No vertebral fracture", "未见椎体骨折" } }, 0, 0 },
    { "thyroid", { { "{n} mm nodule in the right lobe", "右叶{n} mm结节" } }, 3, 32 },
    { "thyroid", { { "{n} mm nodule in the left lobe", "左叶{n} mm结节" } }, 3, 32 },
    { "thyroid", { { "Diffuse thyroiditis", "弥漫性甲状腺炎" } }, 0, 0 },
    { "thyroid", { { "Normal thyroid volume", "甲状腺体积正常" } }, 0, 0 },
};
const size_t wd_chart__n_finding = WD_COUNT(wd_chart__findings);
/* clang-format on */
