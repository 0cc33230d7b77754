/* The grammar: templates with {fields}, chosen at random or the first of each. Every template of a kind names the same attributes; so that
 * a reader (and a program) can tell them, the words for density, margin, grade and place are always among a few. */
#include "care/phantom/ct_report.h"

#include <stdio.h>
#include <string.h>

enum { IMPRESSION_MAX = 4, FIELDS_MAX = 8 };

typedef struct field {
    const char *key, *value;
} field;

typedef struct list {
    const char *const *v;
    size_t n;
} list;
#define LIST(a) ((list){ (a), WD_COUNT(a) })

/* clang-format off */
static const char *const lobes[2][5] = {
    { "right upper lobe", "right middle lobe", "right lower lobe", "left upper lobe", "left lower lobe" },
    { "右肺上叶", "右肺中叶", "右肺下叶", "左肺上叶", "左肺下叶" },
};
static const char *const sides[2][2] = { { "right", "left" }, { "右侧", "左侧" } };
static const char *const pleural[2][2] = { { "right pleural cavity", "left pleural cavity" }, { "右侧胸腔", "左侧胸腔" } };
static const char *const lungs[2] = { "both lungs", "双肺" };
static const char *const densities[2][4] = {
    { "solid", "part-solid", "ground-glass", "calcified" },
    { "实性", "部分实性", "磨玻璃", "钙化" },
};
static const char *const margins[2][3] = { { "smooth", "lobulated", "spiculated" }, { "边缘光滑", "边缘分叶", "边缘毛刺" } };
static const char *const grades[2][3] = { { "small", "moderate", "large" }, { "少量", "中量", "大量" } };

static const char *const nodule_en[] = { /* with margin */
    "{a_size} {margin} {density} nodule in the {lobe}.",
    "There is {a_size} {density} nodule with {margin} margins in the {lobe}.",
    "{lobe}: {density} nodule, {size}, {margin} margins.",
    "A {density} nodule with a {margin} border measuring {size} lies in the {lobe}.",
    "{density} nodule of the {lobe}, {size} in diameter, {margin} contour.",
    "In the {lobe} there is a {margin} {density} nodule of {size}.",
    "{margin} {density} nodule ({size}) in the {lobe}.",
    "The {lobe} contains a {density} nodule of {size} with {margin} edges.",
    "A {margin} {density} pulmonary nodule measuring {size} is seen in the {lobe}.",
    "Nodule in the {lobe}: {density}, {margin}, {size}.",
    "The {lobe} shows {a_size} {density} nodule, {margin} in outline.",
};
static const char *const small_en[] = {
    "{a_size} {density} nodule in the {lobe}.",
    "There is {a_size} {density} nodule in the {lobe}.",
    "{lobe}: {density} nodule, {size}.",
    "A {density} nodule measuring {size} lies in the {lobe}.",
    "{density} nodule of the {lobe}, {size} in diameter.",
    "In the {lobe} there is a {density} nodule of {size}.",
    "{density} nodule ({size}) in the {lobe}.",
    "The {lobe} contains a {density} nodule of {size}.",
    "A {density} pulmonary nodule measuring {size} is seen in the {lobe}.",
    "Nodule in the {lobe}: {density}, {size}.",
};
static const char *const nodule_zh[] = {
    "{lobe}见{density}结节，直径约{size}，{margin}。",
    "{lobe}可见一{size}{density}结节，{margin}。",
    "{lobe}{density}结节，大小约{size}，{margin}。",
    "于{lobe}见一{density}结节影，{margin}，直径{size}。",
    "{lobe}内{density}结节，{margin}，长径约{size}。",
    "{density}结节位于{lobe}，直径约{size}，{margin}。",
    "{lobe}示直径{size}的{density}结节，{margin}。",
    "{lobe}一枚{density}结节，{margin}，约{size}。",
    "可见{lobe}{density}结节影，{margin}，大小约{size}。",
    "{lobe}见约{size}大小{density}结节，{margin}。",
};
static const char *const small_zh[] = {
    "{lobe}见{density}结节，直径约{size}。",
    "{lobe}可见一{size}{density}结节。",
    "{lobe}{density}结节，大小约{size}。",
    "于{lobe}见一{density}结节影，直径{size}。",
    "{lobe}内{density}结节，长径约{size}。",
    "{density}结节位于{lobe}，直径约{size}。",
    "{lobe}示直径{size}的{density}结节。",
    "{lobe}一枚{density}结节，约{size}。",
    "可见{lobe}{density}结节影，大小约{size}。",
    "{lobe}见约{size}大小{density}结节。",
};
static const char *const consolidation_en[] = {
    "Consolidation with air bronchogram in the {lobe}, {size}.",
    "There is {a_size} consolidation in the {lobe} with air bronchograms.",
    "{lobe}: consolidation of {size} with air bronchogram.",
    "The {lobe} shows patchy consolidation, {size}, with air bronchograms.",
    "Airspace consolidation measuring {size} in the {lobe}, air bronchogram present.",
    "In the {lobe} there is consolidation ({size}) containing air bronchograms.",
    "{a_size} area of consolidation with air bronchogram in the {lobe}.",
    "Patchy consolidation of the {lobe}, {size}, with visible air bronchogram.",
    "Air bronchograms within {a_size} consolidation of the {lobe}.",
};
static const char *const consolidation_zh[] = {
    "{lobe}见片状实变影，范围约{size}，内见空气支气管征。",
    "{lobe}实变，长径约{size}，可见空气支气管征。",
    "{lobe}可见约{size}实变影，伴空气支气管征。",
    "于{lobe}见实变，大小约{size}，其内空气支气管征。",
    "{lobe}斑片状实变影，约{size}，见空气支气管征。",
    "{lobe}肺实变，范围{size}，空气支气管征可见。",
    "实变影位于{lobe}，约{size}，内有空气支气管征。",
    "{lobe}示大片实变，长约{size}，含空气支气管征。",
};
static const char *const effusion_en[] = {
    "{grade} {side} pleural effusion.",
    "There is a {grade} pleural effusion on the {side}.",
    "{grade} pleural effusion on the {side} side.",
    "A {grade} amount of fluid in the {side} pleural cavity.",
    "{side} pleural effusion, {grade}.",
    "A {grade} {side} pleural effusion is present.",
    "{side}-sided pleural effusion of {grade} size.",
    "The {side} pleural space contains a {grade} effusion.",
    "{grade} dependent pleural effusion on the {side}.",
};
static const char *const effusion_zh[] = {
    "{side}胸腔{grade}积液。",
    "{side}{grade}胸腔积液。",
    "{side}胸腔见{grade}积液。",
    "{side}胸腔内可见{grade}液体密度影。",
    "可见{side}胸腔{grade}积液影。",
    "{side}胸腔积液，{grade}。",
    "{grade}积液见于{side}胸腔。",
    "{side}胸膜腔{grade}积液。",
};
static const char *const emphysema_en[] = {
    "Emphysema in both lungs, predominantly in the upper lobes.",
    "Centrilobular emphysema of both lungs, most marked in the upper lobes.",
    "Both lungs show emphysema, upper lobe predominant.",
    "Upper lobe predominant emphysema in both lungs.",
    "There is bilateral emphysema, more in the upper lobes.",
    "Bilateral emphysema with scattered lucencies, mainly in the upper lobes.",
    "Scattered emphysema in both lungs, worst in the upper lobes.",
    "Emphysematous lucencies in both lungs, upper lobes more than lower.",
};
static const char *const emphysema_zh[] = {
    "双肺见肺气肿，以上叶为著。",
    "双肺肺气肿，上叶明显。",
    "双肺散在肺气肿改变，上叶为主。",
    "双肺小叶中心型肺气肿，以上叶为主。",
    "双肺可见多发透亮区，上叶为著，考虑肺气肿。",
    "两肺肺气肿，上叶较明显。",
    "双肺上叶为主的肺气肿。",
    "双肺多发圆形低密度区，符合肺气肿，上叶为著。",
};
static const char *const clear_en[] = {
    "The lungs are clear.",
    "Both lungs are clear.",
    "No focal lung abnormality.",
    "Clear lungs on both sides.",
    "The lungs show no abnormality.",
    "Lungs: no focal lesion.",
    "Normal appearance of both lungs.",
    "No lung lesion is seen.",
};
static const char *const clear_zh[] = {
    "双肺野清晰。",
    "双肺未见异常密度影。",
    "两肺清晰，未见病变。",
    "双肺未见明确病变。",
    "双肺未见异常。",
    "两肺纹理清晰，未见异常密度影。",
    "双肺透亮度正常，未见病灶。",
    "肺内未见异常。",
};
static const char *const absent_en[4][3] = {
    { "No pulmonary nodule.", "No lung nodule is seen.", "No nodules." },
    { "No consolidation.", "No airspace consolidation.", "No consolidation is seen." },
    { "No pleural effusion.", "No pleural fluid.", "No effusion on either side." },
    { "No emphysema.", "No emphysematous change.", "No emphysema is seen." },
};
static const char *const absent_zh[4][3] = {
    { "未见肺结节。", "双肺未见结节影。", "未见结节。" },
    { "未见实变。", "双肺未见实变影。", "未见肺实变。" },
    { "未见胸腔积液。", "双侧胸腔未见积液。", "胸腔内无积液。" },
    { "未见肺气肿。", "未见肺气肿改变。", "双肺无肺气肿。" },
};
static const char *const imp_nodule_en[] = {
    "{density} nodule in the {lobe}, {size}.", "{size} {density} nodule, {lobe}.", "{lobe} {density} nodule, {size}.",
};
static const char *const imp_spiculated_en[] = {
    "Spiculated {density} nodule in the {lobe}, {size}.", "{size} spiculated {density} nodule, {lobe}.",
    "{lobe} spiculated {density} nodule, {size}.",
};
static const char *const imp_nodule_zh[] = {
    "{lobe}{density}结节，{size}。", "{lobe}{size}{density}结节。", "{lobe}{density}结节（{size}）。",
};
static const char *const imp_spiculated_zh[] = {
    "{lobe}{density}结节伴毛刺，{size}。", "{lobe}{size}毛刺状{density}结节。", "{lobe}毛刺{density}结节（{size}）。",
};
static const char *const imp_consolidation_en[] = { "Consolidation of the {lobe}.", "{lobe} consolidation.", "Consolidation in the {lobe}." };
static const char *const imp_consolidation_zh[] = { "{lobe}实变。", "{lobe}肺实变。", "{lobe}实变影。" };
static const char *const imp_effusion_en[] = { "{grade} {side} pleural effusion.", "{side} pleural effusion, {grade}." };
static const char *const imp_effusion_zh[] = { "{side}胸腔{grade}积液。", "{side}{grade}胸腔积液。" };
static const char *const imp_emphysema_en[] = { "Emphysema of both lungs.", "Bilateral emphysema." };
static const char *const imp_emphysema_zh[] = { "双肺肺气肿。", "两肺肺气肿。" };
static const char *const imp_clear_en[] = { "No abnormality of the lungs.", "Normal chest CT.", "No significant finding." };
static const char *const imp_clear_zh[] = { "双肺未见异常。", "胸部CT未见异常。", "未见明显异常。" };
/* clang-format on */

/* [type][language]; nodules apart */
static const list sentences[4][2] = {
    [WD_CT_NODULE] = { LIST(nodule_en), LIST(nodule_zh) },
    [WD_CT_CONSOLIDATION] = { LIST(consolidation_en), LIST(consolidation_zh) },
    [WD_CT_EFFUSION] = { LIST(effusion_en), LIST(effusion_zh) },
    [WD_CT_EMPHYSEMA] = { LIST(emphysema_en), LIST(emphysema_zh) },
};
static const list small_nodule[2] = { LIST(small_en), LIST(small_zh) };
static const list conclusions[4][2] = {
    [WD_CT_NODULE] = { LIST(imp_nodule_en), LIST(imp_nodule_zh) },
    [WD_CT_CONSOLIDATION] = { LIST(imp_consolidation_en), LIST(imp_consolidation_zh) },
    [WD_CT_EFFUSION] = { LIST(imp_effusion_en), LIST(imp_effusion_zh) },
    [WD_CT_EMPHYSEMA] = { LIST(imp_emphysema_en), LIST(imp_emphysema_zh) },
};
static const list spiculated_conclusion[2] = { LIST(imp_spiculated_en), LIST(imp_spiculated_zh) };
static const list clear[2] = { LIST(clear_en), LIST(clear_zh) };
static const list clear_conclusion[2] = { LIST(imp_clear_en), LIST(imp_clear_zh) };

/* Below n at random, 0 without r: one wording for one thing. */
static size_t below(wd_rand *r, size_t n)
{
    return r ? (size_t)wd_rand_below(r, n) : 0;
}

static const char *pick(list l, wd_rand *r)
{
    return l.v[below(r, l.n)];
}

/* The template with its fields, first letter large. A field that is unknown would be a mistake of the tables. */
static void fill(const char *pattern, const field *f, char out[WD_CT_TEXT_MAX])
{
    size_t n = 0;
    while (*pattern && n + 1 < WD_CT_TEXT_MAX) {
        if (*pattern != '{') {
            out[n++] = *pattern++;
            continue;
        }
        const size_t len = strcspn(pattern + 1, "}");
        const field *at = f;
        while (at->key && (strlen(at->key) != len || strncmp(at->key, pattern + 1, len) != 0))
            at++;
        WD_BUG_IF(!at->key);
        for (const char *v = at->value; *v && n + 1 < WD_CT_TEXT_MAX; v++)
            out[n++] = *v;
        pattern += len + 2;
    }
    out[n] = 0;
    if (out[0] >= 'a' && out[0] <= 'z')
        out[0] = (char)(out[0] - 'a' + 'A');
}

static void fill_for(const wd_ct_finding *f, wd_ct_lang l, const char *pattern, char out[WD_CT_TEXT_MAX])
{
    const int mm = (int)f->size_mm;
    const bool vowel = mm == 8 || mm == 11 || mm == 18 || (mm >= 80 && mm <= 89); /* an eight, an eleven */
    char size[24], a_size[32];
    snprintf(size, sizeof size, "%d mm", mm);
    snprintf(a_size, sizeof a_size, "%s %s", vowel ? "an" : "a", size);
    const field fields[FIELDS_MAX] = {
        { "size", size },
        { "a_size", a_size },
        { "lobe", f->lobe < WD_CT_NO_LOBE ? lobes[l][f->lobe] : "" },
        { "side", f->side < WD_CT_BOTH ? sides[l][f->side] : "" },
        { "density", densities[l][f->density] },
        { "margin", margins[l][f->margin] },
        { "grade", grades[l][f->grade] },
    };
    fill(pattern, fields, out);
}

void wd_ct_report__sentence(wd_ct_finding *f, wd_rand *r)
{
    for (wd_ct_lang l = 0; l < WD_CT_N_LANG; l++) {
        const bool no_margin = f->type == WD_CT_NODULE && f->size_mm < 8;
        fill_for(f, l, pick(no_margin ? small_nodule[l] : sentences[f->type][l], r), f->text[l]);
    }
}

static const char *place_of(const wd_ct_finding *f, wd_ct_lang l)
{
    switch (f->type) {
    case WD_CT_EFFUSION:
        return pleural[l][f->side];
    case WD_CT_EMPHYSEMA:
        return lungs[l];
    default:
        return lobes[l][f->lobe];
    }
}

/* Appends and gives the reference up; false when there was no memory for either. */
static bool push(json_t *list_, json_t *v)
{
    return json_array_append_new(list_, v) == 0;
}

/* `whole` tells whether all that belongs to the list is in it. */
static json_t *all_or_none(json_t *list_, bool whole)
{
    if (whole)
        return list_;
    json_decref(list_);
    return NULL;
}

static json_t *positive(const wd_ct_finding *f, wd_ct_lang l)
{
    json_t *slices = json_array();
    bool whole = slices;
    for (uint32_t i = 0; whole && i < f->n_shown; i++)
        whole = push(slices, json_integer(f->shown[i]));
    return json_pack("{s:s, s:s, s:o, s:o}", "text", f->text[l], "place", place_of(f, l), "size_mm",
                     f->size_mm > 0 ? json_integer((json_int_t)f->size_mm) : json_null(), "slices",
                     all_or_none(slices, whole));
}

static json_t *negative(const char *text)
{
    return json_pack("{s:s, s:n, s:n, s:[]}", "text", text, "place", "size_mm", "slices");
}

/* Sentences about what is absent: lungs clear and one more, or one or two of the absent kinds. */
static bool add_absent(json_t *list_, const wd_ct_finding *f, size_t n, wd_ct_lang l, wd_rand *r)
{
    wd_ct_type absent[4];
    size_t n_absent = 0;
    for (wd_ct_type t = WD_CT_NODULE; t <= WD_CT_EMPHYSEMA; t++) {
        bool there = false;
        for (size_t i = 0; i < n; i++)
            there |= f[i].type == t;
        if (!there && (n || t == WD_CT_EFFUSION)) /* clear lungs say the rest already */
            absent[n_absent++] = t;
    }
    bool whole = n || push(list_, negative(pick(clear[l], r)));
    size_t want = n_absent ? 1 + below(r, 2) : 0;
    if (!n || n >= 3)
        want = 1;
    for (size_t k = 0; whole && k < want && n_absent; k++) {
        const size_t i = below(r, n_absent), word = below(r, 3);
        whole = push(list_,
                     negative(l == WD_CT_EN ? absent_en[absent[i]][word] : absent_zh[absent[i]][word]));
        absent[i] = absent[--n_absent];
    }
    return whole;
}

static int importance(const wd_ct_finding *f)
{
    switch (f->type) {
    case WD_CT_CONSOLIDATION:
        return 950;
    case WD_CT_EFFUSION:
        return f->grade == WD_CT_LARGE ? 960 : f->grade == WD_CT_MODERATE ? 650 : 250;
    case WD_CT_EMPHYSEMA:
        return 200;
    default:
        break;
    }
    const int size = (int)f->size_mm; /* below 100 */
    if (f->density == WD_CT_CALCIFIED)
        return 100 + size;
    if (f->margin == WD_CT_SPICULATED)
        return 1000 + size;
    if (f->density == WD_CT_PART_SOLID)
        return 800 + size;
    if (f->margin == WD_CT_LOBULATED)
        return 700 + size;
    return (f->density == WD_CT_GROUND_GLASS ? 400 : 300) + size;
}

static json_t *impression(const wd_ct_finding *f, size_t n, wd_ct_lang l, wd_rand *r)
{
    json_t *out = json_array();
    bool said[WD_CT_FINDINGS_MAX] = { false }, whole = out;
    for (size_t k = 0; whole && k < IMPRESSION_MAX && k < n; k++) {
        size_t best = n;
        for (size_t i = 0; i < n; i++)
            if (!said[i] && (best == n || importance(&f[i]) > importance(&f[best])))
                best = i;
        char text[WD_CT_TEXT_MAX];
        const wd_ct_finding *b = &f[best];
        const bool spiculated = b->type == WD_CT_NODULE && b->margin == WD_CT_SPICULATED;
        fill_for(b, l, pick(spiculated ? spiculated_conclusion[l] : conclusions[b->type][l], r), text);
        whole = push(out, json_string(text));
        said[best] = true;
    }
    if (whole && !n)
        whole = push(out, json_string(pick(clear_conclusion[l], r)));
    return all_or_none(out, whole);
}

json_t *wd_ct_report__json(const wd_ct_finding *f, size_t n, wd_ct_lang lang, wd_rand *r)
{
    json_t *list_ = json_array();
    bool whole = list_;
    for (size_t i = 0; whole && i < n; i++)
        whole = push(list_, positive(&f[i], lang));
    whole = whole && add_absent(list_, f, n, lang, r);
    list_ = all_or_none(list_, whole);
    return json_pack("{s:o, s:o}", "findings", list_, "impression", impression(f, n, lang, r));
}
