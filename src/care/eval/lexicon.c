/* Sentences into claims.
 *
 * Sentence by sentence, up to a full stop or semicolon:
 *
 * 1. The text is brought into one form: lower case, hyphens and runs of white space as one space, full-width signs as
 *    ASCII ones.
 * 2. The longest word of the table is taken at every place, and sizes: a list of events in order.
 * 3. The events become claims: a denial covers what follows it up to a turn ("but", a Chinese comma), or what stands
 *    just before it ("effusion is not seen"). Places, sizes and looks go to the claim nearest to them. A sentence that
 *    names nothing adds to the claim before it ("It measures 8 mm").
 */
#include "care/eval/lexicon.h"

#include <stdlib.h>

#include "base/utf8.h"

#define SENTENCE_MAX 1000 /* bytes that are read of one sentence */
#define EVENTS_MAX 96
#define LEVEL_REACH 24 /* bytes between "upper" and its "lobe" */

enum { UPPER = 1, MIDDLE = 2, LOWER = 4 };

typedef enum kind {
    TYPE,      /* value: wd_lex_type; more: a density */
    WEAK_TYPE, /* only when neither its sentence nor one before it names a TYPE */
    SIDE,
    LEVEL,      /* of a lobe; more: the side that it implies */
    BARE_LEVEL, /* "upper": when "lobe" or the like follows, or a side stands before */
    WEAK_LEVEL, /* only where no LEVEL is said: "apical" */
    DENSITY,
    MARGIN,
    GRADE,
    NO,        /* denies what follows */
    NO_AFTER,  /* denies what stands before it */
    NO_EITHER, /* denies what follows if anything does, else what stands before */
    TURN,      /* ends a denial */
    COMMA,
    REST,    /* makes a denial one of the rest */
    NEUTRAL, /* looks like something else, and is nothing */
    SIZE
} kind;

typedef struct word {
    const char *text;
    uint8_t kind, value, more;
    uint8_t take; /* bytes that are used up; 0: all */
} word;

/* English words stand alone and may take a plural "s"; Chinese ones stand anywhere. */
/* clang-format off */
static const word words[] = {
    /* nodule */
    { "nodule", TYPE, WD_LEX_NODULE, 0, 0 }, { "nodular opacity", TYPE, WD_LEX_NODULE, 0, 0 },
    { "nodular opacities", TYPE, WD_LEX_NODULE, 0, 0 }, { "nodular density", TYPE, WD_LEX_NODULE, 0, 0 },
    { "nodular lesion", TYPE, WD_LEX_NODULE, 0, 0 }, { "nodular focus", TYPE, WD_LEX_NODULE, 0, 0 },
    { "round opacity", TYPE, WD_LEX_NODULE, 0, 0 }, { "rounded opacity", TYPE, WD_LEX_NODULE, 0, 0 },
    { "micronodule", TYPE, WD_LEX_NODULE, 0, 0 }, { "granuloma", TYPE, WD_LEX_NODULE, 0, 0 },
    { "mass", TYPE, WD_LEX_NODULE, 0, 0 }, { "masses", TYPE, WD_LEX_NODULE, 0, 0 },
    { "tumor", TYPE, WD_LEX_NODULE, 0, 0 }, { "tumour", TYPE, WD_LEX_NODULE, 0, 0 },
    { "ground glass opacity", TYPE, WD_LEX_NODULE, WD_LEX_GROUND_GLASS, 0 },
    { "ground glass opacities", TYPE, WD_LEX_NODULE, WD_LEX_GROUND_GLASS, 0 },
    { "ggo", TYPE, WD_LEX_NODULE, WD_LEX_GROUND_GLASS, 0 }, { "ggn", TYPE, WD_LEX_NODULE, WD_LEX_GROUND_GLASS, 0 },
    { "结节", TYPE, WD_LEX_NODULE, 0, 0 }, { "肿块", TYPE, WD_LEX_NODULE, 0, 0 },
    { "肿物", TYPE, WD_LEX_NODULE, 0, 0 }, { "团块", TYPE, WD_LEX_NODULE, 0, 0 },
    { "占位", TYPE, WD_LEX_NODULE, 0, 0 }, { "肉芽肿", TYPE, WD_LEX_NODULE, 0, 0 },
    { "磨玻璃影", TYPE, WD_LEX_NODULE, WD_LEX_GROUND_GLASS, 0 },
    { "磨玻璃密度影", TYPE, WD_LEX_NODULE, WD_LEX_GROUND_GLASS, 0 },
    { "磨玻璃样密度影", TYPE, WD_LEX_NODULE, WD_LEX_GROUND_GLASS, 0 },
    { "lesion", WEAK_TYPE, WD_LEX_NODULE, 0, 0 },
    /* effusion */
    { "effusion", TYPE, WD_LEX_EFFUSION, 0, 0 }, { "pleural fluid", TYPE, WD_LEX_EFFUSION, 0, 0 },
    { "hydrothorax", TYPE, WD_LEX_EFFUSION, 0, 0 }, { "fluid in the pleural", TYPE, WD_LEX_EFFUSION, 0, 0 },
    { "fluid", WEAK_TYPE, WD_LEX_EFFUSION, 0, 0 },
    { "积液", TYPE, WD_LEX_EFFUSION, 0, 0 }, { "胸水", TYPE, WD_LEX_EFFUSION, 0, 0 },
    { "胸膜腔液体", TYPE, WD_LEX_EFFUSION, 0, 0 }, { "液体密度影", TYPE, WD_LEX_EFFUSION, 0, 0 },
    { "pericardial effusion", NEUTRAL, 0, 0, 0 }, { "joint effusion", NEUTRAL, 0, 0, 0 },
    { "心包积液", NEUTRAL, 0, 0, 0 }, { "心包少量积液", NEUTRAL, 0, 0, 0 }, { "腹腔积液", NEUTRAL, 0, 0, 0 },
    /* consolidation */
    { "consolidation", TYPE, WD_LEX_CONSOLIDATION, 0, 0 }, { "consolidated", TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "airspace opacity", TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "airspace opacities", TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "air space opacity", TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "airspace disease", TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "air space disease", TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "infiltrate", TYPE, WD_LEX_CONSOLIDATION, 0, 0 }, { "pneumonia", TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "pneumonic", TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "实变", TYPE, WD_LEX_CONSOLIDATION, 0, 0 }, { "肺炎", TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "浸润", TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "opacity", WEAK_TYPE, WD_LEX_CONSOLIDATION, 0, 0 }, { "opacities", WEAK_TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "opacification", WEAK_TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "air bronchogram", WEAK_TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "片状影", WEAK_TYPE, WD_LEX_CONSOLIDATION, 0, 0 }, { "斑片影", WEAK_TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "斑片状影", WEAK_TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "片状高密度影", WEAK_TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "斑片状高密度影", WEAK_TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "致密影", WEAK_TYPE, WD_LEX_CONSOLIDATION, 0, 0 }, { "支气管征", WEAK_TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    { "支气管充气征", WEAK_TYPE, WD_LEX_CONSOLIDATION, 0, 0 },
    /* emphysema */
    { "emphysema", TYPE, WD_LEX_EMPHYSEMA, 0, 0 }, { "emphysematous", TYPE, WD_LEX_EMPHYSEMA, 0, 0 },
    { "bulla", TYPE, WD_LEX_EMPHYSEMA, 0, 0 }, { "bullae", TYPE, WD_LEX_EMPHYSEMA, 0, 0 },
    { "bullous", TYPE, WD_LEX_EMPHYSEMA, 0, 0 }, { "centrilobular lucencies", TYPE, WD_LEX_EMPHYSEMA, 0, 0 },
    { "low attenuation area", WEAK_TYPE, WD_LEX_EMPHYSEMA, 0, 0 },
    { "lucencies", WEAK_TYPE, WD_LEX_EMPHYSEMA, 0, 0 },
    { "气肿", TYPE, WD_LEX_EMPHYSEMA, 0, 0 }, { "肺大疱", TYPE, WD_LEX_EMPHYSEMA, 0, 0 },
    { "肺大泡", TYPE, WD_LEX_EMPHYSEMA, 0, 0 }, { "低密度无壁", WEAK_TYPE, WD_LEX_EMPHYSEMA, 0, 0 },
    { "无壁透亮区", WEAK_TYPE, WD_LEX_EMPHYSEMA, 0, 0 }, { "无壁低密度", WEAK_TYPE, WD_LEX_EMPHYSEMA, 0, 0 },
    { "subcutaneous emphysema", NEUTRAL, 0, 0, 0 }, { "mediastinal emphysema", NEUTRAL, 0, 0, 0 },
    { "皮下气肿", NEUTRAL, 0, 0, 0 }, { "纵隔气肿", NEUTRAL, 0, 0, 0 },
    /* places */
    { "left", SIDE, WD_LEX_LEFT, 0, 0 }, { "right", SIDE, WD_LEX_RIGHT, 0, 0 },
    { "bilateral", SIDE, WD_LEX_BOTH, 0, 0 }, { "bilaterally", SIDE, WD_LEX_BOTH, 0, 0 },
    { "both", SIDE, WD_LEX_BOTH, 0, 0 }, { "biapical", SIDE, WD_LEX_BOTH, 0, 0 },
    { "bibasilar", SIDE, WD_LEX_BOTH, 0, 0 }, { "bibasal", SIDE, WD_LEX_BOTH, 0, 0 },
    { "左", SIDE, WD_LEX_LEFT, 0, 0 }, { "右", SIDE, WD_LEX_RIGHT, 0, 0 },
    { "双肺", SIDE, WD_LEX_BOTH, 0, 3 }, { "两肺", SIDE, WD_LEX_BOTH, 0, 3 },
    { "双侧", SIDE, WD_LEX_BOTH, 0, 0 }, { "两侧", SIDE, WD_LEX_BOTH, 0, 0 },
    { "双上", SIDE, WD_LEX_BOTH, 0, 3 }, { "两上", SIDE, WD_LEX_BOTH, 0, 3 },
    { "双下", SIDE, WD_LEX_BOTH, 0, 3 }, { "两下", SIDE, WD_LEX_BOTH, 0, 3 },
    { "双胸", SIDE, WD_LEX_BOTH, 0, 3 },
    { "左右肺", SIDE, WD_LEX_BOTH, 0, 0 }, { "左右两", SIDE, WD_LEX_BOTH, 0, 0 },
    { "左右双", SIDE, WD_LEX_BOTH, 0, 0 }, { "左右侧", SIDE, WD_LEX_BOTH, 0, 0 },
    { "左右", NEUTRAL, 0, 0, 0 }, /* "about" */
    { "lul", LEVEL, UPPER, WD_LEX_LEFT, 0 }, { "lll", LEVEL, LOWER, WD_LEX_LEFT, 0 },
    { "rul", LEVEL, UPPER, WD_LEX_RIGHT, 0 }, { "rml", LEVEL, MIDDLE, WD_LEX_RIGHT, 0 },
    { "rll", LEVEL, LOWER, WD_LEX_RIGHT, 0 },
    { "lingula", LEVEL, UPPER, WD_LEX_LEFT, 0 }, { "lingular", LEVEL, UPPER, WD_LEX_LEFT, 0 },
    { "舌段", LEVEL, UPPER, WD_LEX_LEFT, 0 }, { "舌叶", LEVEL, UPPER, WD_LEX_LEFT, 0 },
    { "upper", BARE_LEVEL, UPPER, 0, 0 }, { "middle", BARE_LEVEL, MIDDLE, 0, 0 },
    { "lower", BARE_LEVEL, LOWER, 0, 0 },
    { "上叶", LEVEL, UPPER, 0, 0 }, { "中叶", LEVEL, MIDDLE, WD_LEX_RIGHT, 0 }, { "下叶", LEVEL, LOWER, 0, 0 },
    { "上肺", LEVEL, UPPER, 0, 0 }, { "下肺", LEVEL, LOWER, 0, 0 }, { "上中叶", LEVEL, UPPER, 0, 3 },
    { "上、下叶", LEVEL, UPPER, 0, 3 }, { "上、中叶", LEVEL, UPPER, 0, 3 }, { "中、下叶", LEVEL, MIDDLE, 0, 3 },
    { "上下叶", LEVEL, UPPER, 0, 3 }, { "中下叶", LEVEL, MIDDLE, 0, 3 },
    { "apical", WEAK_LEVEL, UPPER, 0, 0 }, { "apex", WEAK_LEVEL, UPPER, 0, 0 },
    { "apices", WEAK_LEVEL, UPPER, 0, 0 }, { "base", WEAK_LEVEL, LOWER, 0, 0 },
    { "basal", WEAK_LEVEL, LOWER, 0, 0 }, { "basilar", WEAK_LEVEL, LOWER, 0, 0 },
    { "肺尖", WEAK_LEVEL, UPPER, 0, 0 }, { "肺底", WEAK_LEVEL, LOWER, 0, 0 },
    { "基底段", WEAK_LEVEL, LOWER, 0, 0 },
    /* looks */
    { "solid", DENSITY, WD_LEX_SOLID, 0, 0 }, { "part solid", DENSITY, WD_LEX_PART_SOLID, 0, 0 },
    { "partly solid", DENSITY, WD_LEX_PART_SOLID, 0, 0 }, { "partially solid", DENSITY, WD_LEX_PART_SOLID, 0, 0 },
    { "subsolid", DENSITY, WD_LEX_PART_SOLID, 0, 0 }, { "sub solid", DENSITY, WD_LEX_PART_SOLID, 0, 0 },
    { "semisolid", DENSITY, WD_LEX_PART_SOLID, 0, 0 }, { "semi solid", DENSITY, WD_LEX_PART_SOLID, 0, 0 },
    { "mixed density", DENSITY, WD_LEX_PART_SOLID, 0, 0 },
    { "mixed ground glass", DENSITY, WD_LEX_PART_SOLID, 0, 0 }, { "mggn", TYPE, WD_LEX_NODULE, WD_LEX_PART_SOLID, 0 },
    { "solid component", DENSITY, WD_LEX_PART_SOLID, 0, 0 }, { "solid core", DENSITY, WD_LEX_PART_SOLID, 0, 0 },
    { "ground glass", DENSITY, WD_LEX_GROUND_GLASS, 0, 0 }, { "nonsolid", DENSITY, WD_LEX_GROUND_GLASS, 0, 0 },
    { "non solid", DENSITY, WD_LEX_GROUND_GLASS, 0, 0 },
    { "calcified", DENSITY, WD_LEX_CALCIFIED, 0, 0 }, { "calcification", DENSITY, WD_LEX_CALCIFIED, 0, 0 },
    { "calcific", DENSITY, WD_LEX_CALCIFIED, 0, 0 },
    { "noncalcified", NEUTRAL, 0, 0, 0 }, { "non calcified", NEUTRAL, 0, 0, 0 }, { "uncalcified", NEUTRAL, 0, 0, 0 },
    { "实性", DENSITY, WD_LEX_SOLID, 0, 0 }, { "部分实性", DENSITY, WD_LEX_PART_SOLID, 0, 0 },
    { "亚实性", DENSITY, WD_LEX_PART_SOLID, 0, 0 }, { "半实性", DENSITY, WD_LEX_PART_SOLID, 0, 0 },
    { "混合密度", DENSITY, WD_LEX_PART_SOLID, 0, 0 }, { "混合磨玻璃", DENSITY, WD_LEX_PART_SOLID, 0, 0 },
    { "混合性磨玻璃", DENSITY, WD_LEX_PART_SOLID, 0, 0 }, { "混杂密度", DENSITY, WD_LEX_PART_SOLID, 0, 0 },
    { "混杂磨玻璃", DENSITY, WD_LEX_PART_SOLID, 0, 0 }, { "实性成分", DENSITY, WD_LEX_PART_SOLID, 0, 0 },
    { "非实性", DENSITY, WD_LEX_GROUND_GLASS, 0, 0 }, { "磨玻璃", DENSITY, WD_LEX_GROUND_GLASS, 0, 0 },
    { "毛玻璃", DENSITY, WD_LEX_GROUND_GLASS, 0, 0 }, { "钙化", DENSITY, WD_LEX_CALCIFIED, 0, 0 },
    { "非钙化", NEUTRAL, 0, 0, 0 }, { "未钙化", NEUTRAL, 0, 0, 0 },
    { "smooth", MARGIN, WD_LEX_SMOOTH, 0, 0 }, { "smoothly", MARGIN, WD_LEX_SMOOTH, 0, 0 },
    { "well defined", MARGIN, WD_LEX_SMOOTH, 0, 0 }, { "well circumscribed", MARGIN, WD_LEX_SMOOTH, 0, 0 },
    { "sharply defined", MARGIN, WD_LEX_SMOOTH, 0, 0 }, { "sharply marginated", MARGIN, WD_LEX_SMOOTH, 0, 0 },
    { "lobulated", MARGIN, WD_LEX_LOBULATED, 0, 0 }, { "lobulation", MARGIN, WD_LEX_LOBULATED, 0, 0 },
    { "lobular margin", MARGIN, WD_LEX_LOBULATED, 0, 0 }, { "lobular contour", MARGIN, WD_LEX_LOBULATED, 0, 0 },
    { "spiculated", MARGIN, WD_LEX_SPICULATED, 0, 0 }, { "spiculation", MARGIN, WD_LEX_SPICULATED, 0, 0 },
    { "spicule", MARGIN, WD_LEX_SPICULATED, 0, 0 }, { "spiculate", MARGIN, WD_LEX_SPICULATED, 0, 0 },
    { "光滑", MARGIN, WD_LEX_SMOOTH, 0, 0 }, { "光整", MARGIN, WD_LEX_SMOOTH, 0, 0 },
    { "边界清", MARGIN, WD_LEX_SMOOTH, 0, 0 }, { "边缘清", MARGIN, WD_LEX_SMOOTH, 0, 0 },
    { "分叶", MARGIN, WD_LEX_LOBULATED, 0, 0 }, { "毛刺", MARGIN, WD_LEX_SPICULATED, 0, 0 },
    { "small", GRADE, WD_LEX_SMALL, 0, 0 }, { "trace", GRADE, WD_LEX_SMALL, 0, 0 },
    { "minimal", GRADE, WD_LEX_SMALL, 0, 0 }, { "tiny", GRADE, WD_LEX_SMALL, 0, 0 },
    { "moderate", GRADE, WD_LEX_MODERATE, 0, 0 }, { "large", GRADE, WD_LEX_LARGE, 0, 0 },
    { "massive", GRADE, WD_LEX_LARGE, 0, 0 },
    { "少量", GRADE, WD_LEX_SMALL, 0, 0 }, { "微量", GRADE, WD_LEX_SMALL, 0, 0 },
    { "中等量", GRADE, WD_LEX_MODERATE, 0, 0 }, { "中量", GRADE, WD_LEX_MODERATE, 0, 0 },
    { "大量", GRADE, WD_LEX_LARGE, 0, 0 },
    /* denial */
    { "no", NO, 0, 0, 0 }, { "without", NO, 0, 0, 0 }, { "negative for", NO, 0, 0, 0 }, { "free of", NO, 0, 0, 0 },
    { "clear of", NO, 0, 0, 0 }, { "devoid of", NO, 0, 0, 0 }, { "absence of", NO, 0, 0, 0 },
    { "neither", NO, 0, 0, 0 }, { "nor", NO, 0, 0, 0 }, { "not show", NO, 0, 0, 0 },
    { "not demonstrate", NO, 0, 0, 0 }, { "lack of", NO, 0, 0, 0 }, { "not contain", NO, 0, 0, 0 },
    { "no change", NEUTRAL, 0, 0, 0 }, { "no significant change", NEUTRAL, 0, 0, 0 },
    { "no interval change", NEUTRAL, 0, 0, 0 }, { "no significant interval change", NEUTRAL, 0, 0, 0 },
    { "no growth", NEUTRAL, 0, 0, 0 }, { "no interval growth", NEUTRAL, 0, 0, 0 },
    { "no increase", NEUTRAL, 0, 0, 0 }, { "without change", NEUTRAL, 0, 0, 0 },
    { "without significant change", NEUTRAL, 0, 0, 0 }, { "without interval change", NEUTRAL, 0, 0, 0 },
    { "not seen", NO_AFTER, 0, 0, 0 }, { "not identified", NO_AFTER, 0, 0, 0 },
    { "not present", NO_AFTER, 0, 0, 0 }, { "not evident", NO_AFTER, 0, 0, 0 },
    { "not detected", NO_AFTER, 0, 0, 0 }, { "not visible", NO_AFTER, 0, 0, 0 },
    { "not visualized", NO_AFTER, 0, 0, 0 }, { "not visualised", NO_AFTER, 0, 0, 0 },
    { "not demonstrated", NO_AFTER, 0, 0, 0 }, { "not observed", NO_AFTER, 0, 0, 0 },
    { "not found", NO_AFTER, 0, 0, 0 }, { "not noted", NO_AFTER, 0, 0, 0 },
    { "not appreciated", NO_AFTER, 0, 0, 0 }, { "absent", NO_AFTER, 0, 0, 0 }, { "resolved", NO_AFTER, 0, 0, 0 },
    { "no longer", NO_AFTER, 0, 0, 0 }, { "negative", NO_AFTER, 0, 0, 0 }, { "ruled out", NO_AFTER, 0, 0, 0 },
    { "none", NO_AFTER, 0, 0, 0 },
    { "未见", NO_EITHER, 0, 0, 0 }, { "无", NO_EITHER, 0, 0, 0 }, { "没有", NO_EITHER, 0, 0, 0 },
    { "未发现", NO_EITHER, 0, 0, 0 }, { "未显示", NO_EITHER, 0, 0, 0 }, { "未检出", NO_EITHER, 0, 0, 0 },
    { "未及", NO_EITHER, 0, 0, 0 }, { "不伴", NO, 0, 0, 0 }, { "不含", NO, 0, 0, 0 }, { "未伴", NO, 0, 0, 0 },
    { "未提示", NO_EITHER, 0, 0, 0 }, { "排除", NO_EITHER, 0, 0, 0 }, { "阴性", NO_AFTER, 0, 0, 0 },
    { "已吸收", NO_AFTER, 0, 0, 0 }, { "消失", NO_AFTER, 0, 0, 0 },
    { "无变化", NEUTRAL, 0, 0, 0 }, { "无明显变化", NEUTRAL, 0, 0, 0 }, { "无改变", NEUTRAL, 0, 0, 0 },
    { "无明显改变", NEUTRAL, 0, 0, 0 }, { "无增大", NEUTRAL, 0, 0, 0 }, { "无明显增大", NEUTRAL, 0, 0, 0 },
    { "未见变化", NEUTRAL, 0, 0, 0 }, { "未见明显变化", NEUTRAL, 0, 0, 0 }, { "未见增大", NEUTRAL, 0, 0, 0 },
    { "未见明显增大", NEUTRAL, 0, 0, 0 }, { "不能排除", NEUTRAL, 0, 0, 0 }, { "不除外", NEUTRAL, 0, 0, 0 },
    { "not ruled out", NEUTRAL, 0, 0, 0 }, { "cannot be ruled out", NEUTRAL, 0, 0, 0 },
    { "but", TURN, 0, 0, 0 }, { "however", TURN, 0, 0, 0 }, { "although", TURN, 0, 0, 0 },
    { "whereas", TURN, 0, 0, 0 }, { "except", TURN, 0, 0, 0 }, { "apart from", TURN, 0, 0, 0 },
    { "aside from", TURN, 0, 0, 0 }, { "other than", TURN, 0, 0, 0 }, { "there is", TURN, 0, 0, 0 },
    { "there are", TURN, 0, 0, 0 }, { ", a", TURN, 0, 0, 0 }, { ", an", TURN, 0, 0, 0 },
    { ", the", TURN, 0, 0, 0 }, { ", with", TURN, 0, 0, 0 }, { "and a", TURN, 0, 0, 0 },
    { "，", TURN, 0, 0, 0 }, { ",", COMMA, 0, 0, 0 }, { "但", TURN, 0, 0, 0 }, { "而", TURN, 0, 0, 0 },
    { "other", REST, 0, 0, 0 }, { "additional", REST, 0, 0, 0 }, { "further", REST, 0, 0, 0 },
    { "new", REST, 0, 0, 0 }, { "suspicious", REST, 0, 0, 0 }, { "remaining", REST, 0, 0, 0 },
    { "remainder", REST, 0, 0, 0 }, { "rest of", REST, 0, 0, 0 }, { "elsewhere", REST, 0, 0, 0 },
    { "otherwise", REST, 0, 0, 0 }, { "contralateral", REST, 0, 0, 0 },
    { "其他", REST, 0, 0, 0 }, { "其它", REST, 0, 0, 0 }, { "其余", REST, 0, 0, 0 }, { "余肺", REST, 0, 0, 0 },
    { "余双肺", REST, 0, 0, 0 }, { "余两肺", REST, 0, 0, 0 }, { "余未见", REST, 0, 0, 3 },
    { "另外", REST, 0, 0, 0 }, { "新发", REST, 0, 0, 0 }, { "可疑", REST, 0, 0, 0 }, { "对侧", REST, 0, 0, 0 },
};
/* clang-format on */

typedef struct event {
    uint8_t kind, value, more;
    uint16_t at, end; /* bytes of the sentence in its one form */
    float size_mm;
} event;

typedef struct reading {
    char text[SENTENCE_MAX + 8];
    size_t n;
    event event[EVENTS_MAX];
    size_t n_event;
} reading;

/* ---- 1: one form ---- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A sign as ASCII writes it, or the same code point. */
static uint32_t plain_sign(uint32_t cp)
{
    if (cp >= 0xFF01 && cp <= 0xFF5E && cp != 0xFF0C &&
        cp != 0xFF1B) /* full-width, but for the comma and ; */
        cp -= 0xFEE0;
    if ((cp >= 0x2010 && cp <= 0x2015) || cp == 0x2212)
        return '-';
    if (cp == 0xD7 || cp == '*') /* 12 × 9 mm */
        return 'x';
    if (cp == 0x3000 || cp == 0xA0 || cp == '\t' || cp == '\r')
        return ' ';
    if (cp >= 'A' && cp <= 'Z')
        return cp - 'A' + 'a';
    return cp;
}

static bool ends_sentence(uint32_t cp)
{
    return cp == '.' || cp == ';' || cp == '!' || cp == '?' || cp == '\n' || cp == 0x3002 || cp == 0xFF1B;
}

/* The next sentence of s from *at on. */
static void one_form(reading *r, wd_span s, size_t *at)
{
    r->n = r->n_event = 0;
    while (*at < s.n) {
        size_t n;
        uint32_t cp = plain_sign(wd_utf8_next(s, *at, &n));
        *at += n;
        const bool digit_before = r->n && is_digit(r->text[r->n - 1]),
                   digit_after = *at < s.n && is_digit((char)s.p[*at]);
        if (ends_sentence(cp) && !(cp == '.' && digit_after))
            break;
        if (cp == '-' && !(digit_before && digit_after))
            cp = ' ';
        if ((cp == ' ' && (!r->n || r->text[r->n - 1] == ' ')) || r->n >= SENTENCE_MAX)
            continue;
        /* a comma between Chinese characters is a Chinese one */
        if (cp == ',' && r->n && (unsigned char)r->text[r->n - 1] >= 0x80)
            cp = 0xFF0C;
        r->n += wd_utf8_put(cp, (uint8_t *)r->text + r->n);
    }
    r->text[r->n] = 0;
}

/* ---- 2: events ---- */

static bool starts(const reading *r, size_t at, const char *w, size_t n)
{
    return r->n - at >= n && !memcmp(r->text + at, w, n);
}

/* Bytes that the word takes at this place, 0: it is not there. */
static size_t match(const reading *r, size_t at, const word *w)
{
    const size_t n = strlen(w->text);
    if (!starts(r, at, w->text, n))
        return 0;
    const char last = w->text[n - 1];
    if (!is_word(last))
        return n;
    size_t end = at + n;
    if (r->text[end] == 's' && !is_word(r->text[end + 1]))
        end++;
    return is_word(r->text[end]) ? 0 : end - at;
}

static const word *longest(const reading *r, size_t at, size_t *n)
{
    const word *best = NULL;
    const bool inside = at && is_word(r->text[at - 1]) && is_word(r->text[at]);
    *n = 0;
    for (size_t i = 0; i < WD_COUNT(words) && !inside; i++) {
        const size_t m = words[i].text[0] == r->text[at] ? match(r, at, &words[i]) : 0;
        if (m > *n) {
            *n = m;
            best = &words[i];
        }
    }
    return best;
}

static double number(const char *p, size_t *n)
{
    double v = 0, scale = 1;
    size_t i = 0;
    for (; is_digit(p[i]) && i < 6; i++)
        v = v * 10 + (p[i] - '0');
    if (p[i] == '.' && is_digit(p[i + 1]))
        for (i++; is_digit(p[i]) && i < 12; i++)
            v += (p[i] - '0') * (scale /= 10);
    *n = i;
    return v;
}

/* Millimetres per unit at this place, 0: none. */
static double unit(const char *p, size_t *n)
{
    static const struct {
        const char *text;
        double mm;
    } units[] = { { "millimet", 1 }, { "centimet", 10 }, { "mm", 1 },   { "cm", 10 },
                  { "毫米", 1 },     { "厘米", 10 },     { "公分", 10 } };
    *n = *p == ' ';
    for (size_t i = 0; i < WD_COUNT(units); i++) {
        const size_t m = strlen(units[i].text);
        if (strncmp(p + *n, units[i].text, m) != 0)
            continue;
        *n += m;
        if (m < 8 && units[i].text[0] < 0x7F && units[i].text[0] > 0 && is_word(p[*n]))
            return 0; /* "mmol" */
        return units[i].mm;
    }
    return 0;
}

/* "12 mm", "1.2 x 0.9 cm", "10-12 mm", "12mm×9mm": the largest; bytes taken, 0: none. */
static size_t size_at(const reading *r, size_t at, double *mm)
{
    const char *p = r->text;
    if (!is_digit(p[at]) || (at && (is_word(p[at - 1]) || p[at - 1] == '.') && p[at - 1] != 'x'))
        return 0;
    double largest = 0, scale = 0;
    size_t i = at, n;
    for (int k = 0; k < 4; k++) {
        const double v = number(p + i, &n);
        i += n;
        largest = v > largest ? v : largest;
        const double s = unit(p + i, &n);
        if (s > 0) {
            i += n;
            scale = s;
        }
        size_t j = i;
        while (p[j] == ' ')
            j++;
        if (p[j] != 'x' && p[j] != '-' && p[j] != '~')
            break;
        do
            j++;
        while (p[j] == ' ');
        if (!is_digit(p[j]))
            break;
        i = j;
    }
    *mm = largest * scale;
    return *mm > 0 && *mm < 1000 ? i - at : 0;
}

static void find_events(reading *r)
{
    for (size_t at = 0; at < r->n && r->n_event < EVENTS_MAX;) {
        double mm;
        size_t n = size_at(r, at, &mm);
        if (n) {
            r->event[r->n_event++] = (event){
                .kind = SIZE, .at = (uint16_t)at, .end = (uint16_t)(at + n), .size_mm = (float)mm
            };
            at += n;
            continue;
        }
        const word *w = longest(r, at, &n);
        if (!w) {
            at++;
            continue;
        }
        if (w->kind != NEUTRAL)
            r->event[r->n_event++] = (event){
                w->kind, w->value, w->more, (uint16_t)at, (uint16_t)(at + n), 0
            };
        at += w->take ? w->take : n;
    }
}

/* "upper" means a lobe when one is named soon after, or a side just before; weak words count where no other does. */
static void settle(reading *r, bool any_type)
{
    static const char *const organs[] = { "lobe", "lung", "zone", "field", "lobar" };
    bool any_level = false;
    for (size_t i = 0; i < r->n_event; i++) {
        event *e = &r->event[i];
        any_type |= e->kind == TYPE;
        if (e->kind != BARE_LEVEL)
            continue;
        bool good = i && r->event[i - 1].kind == SIDE && e->at - r->event[i - 1].end <= 1;
        for (size_t k = 0; k < WD_COUNT(organs) && !good; k++) {
            const char *found = strstr(r->text + e->end, organs[k]);
            good = found && found - (r->text + e->end) <= LEVEL_REACH;
        }
        e->kind = good ? LEVEL : NEUTRAL;
        if (good && e->value == MIDDLE)
            e->more = WD_LEX_RIGHT; /* the left lung has none */
    }
    for (size_t i = 0; i < r->n_event; i++)
        any_level |= r->event[i].kind == LEVEL;
    for (size_t i = 0; i < r->n_event; i++) {
        event *e = &r->event[i];
        if (e->kind == WEAK_LEVEL)
            e->kind = any_level ? NEUTRAL : LEVEL;
        if (e->kind == WEAK_TYPE)
            e->kind = any_type ? NEUTRAL : TYPE;
    }
}

/* ---- 3: claims ---- */

typedef struct place {
    unsigned side, level;
    size_t at, end;
} place;

#define PLACES_MAX 6

/* Sides and levels put together: "right upper and lower lobes" is two places, "upper lobe of
 * the left lung" one. */
static size_t find_places(const reading *r, place out[PLACES_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_event && n < PLACES_MAX; i++) {
        const event *e = &r->event[i];
        place *last = n ? &out[n - 1] : NULL;
        if (e->kind == SIDE) {
            if (last && last->level && !last->side) {
                last->side = e->value; /* "upper lobe of the left lung" */
                last->end = e->end;
            } else {
                out[n++] = (place){ e->value, 0, e->at, e->end };
            }
        } else if (e->kind == LEVEL) {
            if (last && last->level == e->value && (!e->more || e->more == last->side))
                last->end = e->end; /* "left upper lobe, lingula" */
            else if (last && !last->level && (!e->more || e->more == last->side)) {
                last->level = e->value;
                last->end = e->end;
            } else {
                out[n++] = (place){ e->more ? e->more : last ? last->side : 0, e->value, e->at, e->end };
            }
        }
    }
    return n;
}

static wd_lex_lobe lobe_of(unsigned side, unsigned level)
{
    if (side == WD_LEX_RIGHT)
        return level == UPPER    ? WD_LEX_RUL
               : level == MIDDLE ? WD_LEX_RML
               : level == LOWER  ? WD_LEX_RLL
                                 : WD_LEX_NO_LOBE;
    if (side == WD_LEX_LEFT)
        return level == UPPER ? WD_LEX_LUL : level == LOWER ? WD_LEX_LLL : WD_LEX_NO_LOBE;
    return WD_LEX_NO_LOBE;
}

/* A claim of one sentence before it is divided by lobes. */
typedef struct claim {
    wd_mention m;
    size_t at, end;
    size_t from, to; /* of a denied one: what is said outside is of something else */
    place place[PLACES_MAX];
    size_t n_place;
    double size_mm[PLACES_MAX];
    size_t n_size;
} claim;

#define CLAIMS_MAX 6

typedef struct sentence {
    claim claim[CLAIMS_MAX];
    size_t n;
} sentence;

static bool is_pause(const event *e)
{
    return e->kind == TURN || e->kind == COMMA;
}

/* Is the event under a denial that stands before it? */
static bool denied_before(const reading *r, size_t i)
{
    bool denied = false;
    for (size_t k = 0; k < i; k++) {
        if (r->event[k].kind == NO || r->event[k].kind == NO_EITHER)
            denied = true;
        else if (r->event[k].kind == TURN)
            denied = false;
    }
    return denied;
}

/* Does a NO_AFTER (or a NO_EITHER with nothing to deny after it) follow, with nothing but types between? */
static bool denied_after(const reading *r, size_t i)
{
    for (size_t k = i + 1; k < r->n_event; k++) {
        switch (r->event[k].kind) {
        case NO_AFTER:
            return true;
        case NO_EITHER:
            for (size_t j = k + 1; j < r->n_event && r->event[j].kind != TURN; j++)
                if (r->event[j].kind == TYPE || r->event[j].kind == DENSITY || r->event[j].kind == MARGIN)
                    return false;
            return true;
        case TYPE:
        case COMMA:
        case NEUTRAL:
            continue;
        default:
            return false;
        }
    }
    return false;
}

/* From the pause before the denial (or before the claim) to the turn after the claim. */
static void set_region(const reading *r, size_t i, claim *c)
{
    size_t k = i;
    while (k > 0 && r->event[k - 1].kind != TURN && r->event[k - 1].kind != NO &&
           r->event[k - 1].kind != NO_EITHER)
        k--;
    if (!k || r->event[k - 1].kind == TURN) /* denied by what follows */
        k = i;
    while (k > 0 && !is_pause(&r->event[k - 1]))
        k--;
    c->from = k ? r->event[k - 1].at : 0;
    while (i < r->n_event && r->event[i].kind != TURN)
        i++;
    c->to = i < r->n_event ? r->event[i].at : r->n;
}

static bool has_rest(const reading *r)
{
    for (size_t i = 0; i < r->n_event; i++)
        if (r->event[i].kind == REST)
            return true;
    return false;
}

static void find_claims(const reading *r, sentence *s)
{
    const bool rest = has_rest(r);
    for (size_t i = 0; i < r->n_event; i++) {
        const event *e = &r->event[i];
        if (e->kind != TYPE)
            continue;
        const bool denied = denied_before(r, i) || denied_after(r, i);
        claim *same = NULL;
        for (size_t k = 0; k < s->n; k++)
            if (s->claim[k].m.type == (wd_lex_type)e->value && s->claim[k].m.negated == denied)
                same = &s->claim[k];
        if (!same && s->n < CLAIMS_MAX) {
            same = &s->claim[s->n++];
            *same = (claim){
                .m = { .type = (wd_lex_type)e->value, .negated = denied, .rest = denied && rest },
                .at = e->at,
                .end = e->end
            };
            if (denied)
                set_region(r, i, same);
        }
        if (same && e->more && !same->m.density)
            same->m.density = (wd_lex_density)e->more;
    }
}

static size_t distance(const claim *c, size_t at, size_t end)
{
    return end <= c->at ? c->at - end : at >= c->end ? at - c->end : 0;
}

/* The claim that something said at [at, end) belongs to: the nearest that may have it. */
static claim *nearest(sentence *s, size_t at, size_t end, unsigned types)
{
    claim *best = NULL;
    for (size_t i = 0; i < s->n; i++) {
        claim *c = &s->claim[i];
        if (!(types & 1u << c->m.type) || (c->m.negated && (at < c->from || end > c->to)))
            continue;
        if (!best || distance(c, at, end) < distance(best, at, end))
            best = c;
    }
    return best;
}

#define NODULES (1u << WD_LEX_NODULE)
#define EFFUSIONS (1u << WD_LEX_EFFUSION)
#define ALL_TYPES ((1u << WD_LEX_N_TYPE) - 1)

static void give_look(sentence *s, const event *e, bool denied)
{
    claim *c = nearest(s, e->at, e->end,
                       e->kind == GRADE  ? EFFUSIONS
                       : e->kind == SIZE ? ALL_TYPES
                                         : NODULES);
    if (!c || c->m.negated || (denied && e->kind != SIZE))
        return;
    if (e->kind == SIZE && c->n_size < PLACES_MAX)
        c->size_mm[c->n_size++] = (double)e->size_mm;
    /* "ground-glass nodule with a solid component" */
    if (e->kind == DENSITY && (!c->m.density || e->value == WD_LEX_PART_SOLID))
        c->m.density = (wd_lex_density)e->value;
    if (e->kind == MARGIN && c->m.margin < (wd_lex_margin)e->value) /* lobulated and spiculated: the graver */
        c->m.margin = (wd_lex_margin)e->value;
    if (e->kind == GRADE && !c->m.grade)
        c->m.grade = (wd_lex_grade)e->value;
}

static void give_all(const reading *r, sentence *s)
{
    place p[PLACES_MAX];
    const size_t n = find_places(r, p);
    for (size_t i = 0; i < n; i++) {
        claim *c = nearest(s, p[i].at, p[i].end, ALL_TYPES);
        if (c && c->n_place < PLACES_MAX)
            c->place[c->n_place++] = p[i];
    }
    for (size_t i = 0; i < r->n_event; i++)
        give_look(s, &r->event[i], denied_before(r, i));
    for (size_t i = 0; i < s->n && s->n > 1; i++) { /* "left effusion with consolidation" */
        claim *c = &s->claim[i];
        for (size_t k = 0; k < s->n && !c->n_place && !c->m.negated; k++)
            if (s->claim[k].n_place == 1 && !s->claim[k].m.negated)
                c->place[c->n_place++] = (place){ .side = s->claim[k].place[0].side };
    }
}

/* Places and sizes become the claim's own; several lobes of a nodule or a consolidation are several claims. */
static size_t finish(const claim *c, wd_mention *out, size_t max)
{
    size_t n_lobe = 0, n = 0;
    for (size_t i = 0; i < c->n_place; i++)
        n_lobe += lobe_of(c->place[i].side, c->place[i].level) != WD_LEX_NO_LOBE;
    const bool focal = c->m.type == WD_LEX_NODULE || c->m.type == WD_LEX_CONSOLIDATION;
    if (n_lobe > 1 && focal && !c->m.negated) {
        for (size_t i = 0; i < c->n_place && n < max; i++) {
            const wd_lex_lobe lobe = lobe_of(c->place[i].side, c->place[i].level);
            if (lobe == WD_LEX_NO_LOBE)
                continue;
            out[n] = c->m;
            out[n].side = c->place[i].side;
            out[n].lobe = lobe;
            out[n].size_mm = c->n_size == n_lobe ? c->size_mm[n] : c->n_size == 1 ? c->size_mm[0] : 0;
            n++;
        }
        return n;
    }
    if (!max)
        return 0;
    *out = c->m;
    unsigned level = 0;
    for (size_t i = 0; i < c->n_place; i++) {
        out->side |= c->place[i].side;
        level |= c->place[i].level;
    }
    out->lobe = lobe_of(out->side, level);
    for (size_t i = 0; i < c->n_size; i++)
        out->size_mm = c->size_mm[i] > out->size_mm ? c->size_mm[i] : out->size_mm;
    return 1;
}

/* A sentence that names nothing tells more about what the one before named. */
static void add_to(wd_mention *m, const reading *r)
{
    sentence s = { .n = 1 };
    s.claim[0].m = *m;
    give_all(r, &s);
    wd_mention more;
    (void)finish(&s.claim[0], &more, 1);
    if (!m->side) {
        m->side = more.side;
        m->lobe = more.lobe;
    }
    if (!(m->size_mm > 0))
        m->size_mm = more.size_mm;
    m->density = more.density;
    m->margin = more.margin;
    m->grade = more.grade;
}

/* One sentence; how many claims out holds then. */
static size_t read_sentence(const reading *r, wd_mention *out, size_t n, size_t max)
{
    sentence s = { .n = 0 };
    find_claims(r, &s);
    give_all(r, &s);
    if (!s.n && n && !out[n - 1].negated)
        add_to(&out[n - 1], r);
    for (size_t i = 0; i < s.n; i++)
        n += finish(&s.claim[i], out + n, max - n);
    return n;
}

size_t wd_lexicon_read(wd_span text, wd_mention *out, size_t max)
{
    reading r;
    size_t n = 0;
    for (size_t at = 0; at < text.n;) {
        one_form(&r, text, &at);
        find_events(&r);
        settle(&r, n > 0);
        n = read_sentence(&r, out, n, max);
    }
    return n;
}

void wd_lexicon_place(wd_span text, unsigned *side, wd_lex_lobe *lobe)
{
    reading r;
    place p[PLACES_MAX];
    unsigned level = 0;
    *side = 0;
    for (size_t at = 0; at < text.n;) {
        one_form(&r, text, &at);
        find_events(&r);
        settle(&r, true);
        const size_t n = find_places(&r, p);
        for (size_t i = 0; i < n; i++) {
            *side |= p[i].side;
            level |= p[i].level;
        }
    }
    *lobe = lobe_of(*side, level);
}

/* ---- names ---- */

const char *wd_lex_type_name(wd_lex_type t)
{
    static const char *const names[] = { "nodule", "effusion", "consolidation", "emphysema" };
    return t < WD_LEX_N_TYPE ? names[t] : NULL;
}

const char *wd_lex_side_name(unsigned side)
{
    static const char *const names[] = { NULL, "left", "right", "both" };
    return names[side & 3];
}

const char *wd_lex_lobe_name(wd_lex_lobe l)
{
    static const char *const names[] = { NULL,
                                         "right upper lobe",
                                         "right middle lobe",
                                         "right lower lobe",
                                         "left upper lobe",
                                         "left lower lobe" };
    return l < WD_LEX_N_LOBE ? names[l] : NULL;
}

const char *wd_lex_density_name(wd_lex_density d)
{
    static const char *const names[] = { NULL, "solid", "part-solid", "ground-glass", "calcified" };
    return d < WD_LEX_N_DENSITY ? names[d] : NULL;
}

const char *wd_lex_margin_name(wd_lex_margin m)
{
    static const char *const names[] = { NULL, "smooth", "lobulated", "spiculated" };
    return m < WD_LEX_N_MARGIN ? names[m] : NULL;
}

const char *wd_lex_grade_name(wd_lex_grade g)
{
    static const char *const names[] = { NULL, "small", "moderate", "large" };
    return g < WD_LEX_N_GRADE ? names[g] : NULL;
}

unsigned wd_lex_lobe_side(wd_lex_lobe l)
{
    return l == WD_LEX_NO_LOBE ? 0 : l >= WD_LEX_LUL ? WD_LEX_LEFT : WD_LEX_RIGHT;
}
