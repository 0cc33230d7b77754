/* What sentences claim: tables in both languages, in words that the synthetic cases use and in others. */
#include "support/test.h"

#include <stdio.h>

#include "base/rand.h"
#include "care/eval/lexicon.h"

/* Claims as "nodule RUL 12 part-solid spiculated", denied ones with "-", of the rest with "~"; joined by "; ". */
static void describe(const char *text, char *out, size_t size)
{
    static const char *const lobes[] = { "", " RUL", " RML", " RLL", " LUL", " LLL" };
    wd_mention m[8];
    size_t at = 0;
    const size_t n = wd_lexicon_read(wd_span_str(text), m, 8);
    out[0] = 0;
    for (size_t i = 0; i < n; i++) {
        char size_mm[24] = "";
        if (m[i].size_mm > 0)
            snprintf(size_mm, sizeof size_mm, " %.4g", m[i].size_mm);
        const char *side = m[i].lobe || !m[i].side ? "" : wd_lex_side_name(m[i].side);
        const char *density = wd_lex_density_name(m[i].density), *margin = wd_lex_margin_name(m[i].margin),
                   *grade = wd_lex_grade_name(m[i].grade);
        at += (size_t)snprintf(out + at, size - at, "%s%s%s%s%s%s%s%s%s%s%s%s%s", i ? "; " : "",
                               m[i].rest      ? "~"
                               : m[i].negated ? "-"
                                              : "",
                               wd_lex_type_name(m[i].type), *side ? " " : "", side, lobes[m[i].lobe], size_mm,
                               density ? " " : "", density ? density : "", margin ? " " : "",
                               margin ? margin : "", grade ? " " : "", grade ? grade : "");
    }
}

typedef struct row {
    const char *text, *claims;
} row;

static void check(const row *rows, size_t n)
{
    size_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        char got[512];
        describe(rows[i].text, got, sizeof got);
        if (strcmp(got, rows[i].claims) != 0) {
            print_error("%s\n  read   %s\n  wanted %s\n", rows[i].text, got, rows[i].claims);
            bad++;
        }
    }
    assert_int_equal(bad, 0);
}

static void english_sentences_are_read(void **state)
{
    (void)state;
    static const row rows[] = {
        { "A 12 mm nodule in the right upper lobe.", "nodule RUL 12" },
        { "12-mm solid pulmonary nodule, left lower lobe, with spiculated margins.",
          "nodule LLL 12 solid spiculated" },
        { "Spiculated mass in the LUL measuring 3.2 x 2.4 cm.", "nodule LUL 32 spiculated" },
        { "There is a part-solid nodule in the right middle lobe (8 mm).", "nodule RML 8 part-solid" },
        { "Subsolid nodule, 1.1 cm, in the middle lobe.", "nodule RML 11 part-solid" },
        { "Pure ground-glass nodule of the lingula, 9 mm", "nodule LUL 9 ground-glass" },
        { "GGO in RLL, 14 mm", "nodule RLL 14 ground-glass" },
        { "A ground glass nodule with a solid component in the left upper lobe.", "nodule LUL part-solid" },
        { "Calcified granuloma in the upper lobe of the left lung.", "nodule LUL calcified" },
        { "Noncalcified nodule, right lung base.", "nodule RLL" },
        { "Nodule with smooth margins and no calcification in the right upper lobe.", "nodule RUL smooth" },
        { "Nodule without spiculation, 6 mm.", "nodule 6" },
        { "Well-circumscribed, lobulated nodule.", "nodule lobulated" },
        { "Nodules in the right upper lobe (5 mm) and left lower lobe (8 mm).",
          "nodule RUL 5; nodule LLL 8" },
        { "Nodules in the right upper and lower lobes.", "nodule RUL; nodule RLL" },
        { "Multiple bilateral nodules.", "nodule both" },
        { "A lesion in the left upper lobe measures 7.5 mm.", "nodule LUL 7.5" },
        { "A nodule in the left lower lobe. It measures 10-12 mm and is spiculated.",
          "nodule LLL 12 spiculated" },
        { "Small right pleural effusion.", "effusion right small" },
        { "Moderate-sized left-sided pleural effusion", "effusion left moderate" },
        { "Bilateral pleural effusions, large on the right.", "effusion both large" },
        { "Massive left hydrothorax.", "effusion left large" },
        { "Small pericardial effusion.", "" },
        { "Consolidation with air bronchograms in the right lower lobe.", "consolidation RLL" },
        { "Consolidation without air bronchograms, LLL.", "consolidation LLL" },
        { "Patchy airspace opacity in the left lower lobe.", "consolidation LLL" },
        { "Right middle lobe pneumonia.", "consolidation RML" },
        { "Dense opacity in the right lung.", "consolidation right" },
        { "Left lower lobe consolidation with a small effusion.", "consolidation LLL; effusion left small" },
        { "Centrilobular emphysema, upper lobe predominant, both lungs.", "emphysema both" },
        { "Emphysematous changes bilaterally with bullae.", "emphysema both" },
        { "Subcutaneous emphysema on the left.", "" },
        { "The heart is of normal size.", "" },
        { "", "" },
    };
    check(rows, WD_COUNT(rows));
}

static void english_denials_are_read(void **state)
{
    (void)state;
    static const row rows[] = {
        { "No pleural effusion.", "-effusion" },
        { "No pleural effusion or consolidation.", "-effusion; -consolidation" },
        { "No nodule, consolidation, or effusion is seen.", "-nodule; -consolidation; -effusion" },
        { "Lungs are clear without nodule or consolidation.", "-nodule; -consolidation" },
        { "There is no evidence of a pulmonary mass.", "-nodule" },
        { "No left pleural effusion.", "-effusion left" },
        { "Negative for emphysema.", "-emphysema" },
        { "The lungs are free of consolidation.", "-consolidation" },
        { "Pleural effusion is not seen.", "-effusion" },
        { "Effusion or consolidation are not identified.", "-effusion; -consolidation" },
        { "The effusion has resolved.", "-effusion" },
        { "The nodule is no longer seen.", "-nodule" },
        { "No effusion, but a nodule in the right upper lobe.", "-effusion; nodule RUL" },
        { "No effusion, a 6 mm nodule in the RUL.", "-effusion; nodule RUL 6" },
        { "A nodule in the left upper lobe, no effusion.", "nodule LUL; -effusion" },
        { "A nodule in the left upper lobe, effusion is not seen.", "nodule LUL; -effusion" },
        { "Neither effusion nor consolidation.", "-effusion; -consolidation" },
        { "No other nodule.", "~nodule" },
        { "No additional nodules in the remaining lung.", "~nodule" },
        { "No significant interval change of the 8 mm nodule.", "nodule 8" },
        { "Nodule, malignancy cannot be ruled out.", "nodule" },
        { "CT does not show consolidation.", "-consolidation" },
    };
    check(rows, WD_COUNT(rows));
}

static void chinese_sentences_are_read(void **state)
{
    (void)state;
    static const row rows[] = {
        { "右肺上叶见一实性结节，直径约12mm，边缘毛刺。", "nodule RUL 12 solid spiculated" },
        { "左肺下叶见部分实性结节，大小约 1.2×0.9 cm，边缘分叶。", "nodule LLL 12 part-solid lobulated" },
        { "右肺中叶磨玻璃结节，长径约8毫米", "nodule RML 8 ground-glass" },
        { "左上肺磨玻璃影，约10 mm", "nodule LUL 10 ground-glass" },
        { "左肺上叶舌段见混合磨玻璃结节", "nodule LUL part-solid" },
        { "右下肺钙化结节，边界清楚", "nodule RLL calcified smooth" },
        { "右上叶肿块，大小约３２ｍｍ", "nodule RUL 32" },
        { "大小约12mm左右的结节位于左肺上叶", "nodule LUL 12" },
        { "双肺多发结节", "nodule both" },
        { "左肺上叶及右肺下叶各见一结节，分别为5mm、8mm。", "nodule LUL 5; nodule RLL 8" },
        { "右肺上、下叶见结节", "nodule RUL; nodule RLL" },
        { "左侧胸腔少量积液。", "effusion left small" },
        { "右侧胸腔大量积液", "effusion right large" },
        { "双侧胸腔积液，中等量", "effusion both moderate" },
        { "左侧胸水", "effusion left" },
        { "心包积液", "" },
        { "右肺下叶大片实变，内见空气支气管征。", "consolidation RLL" },
        { "左肺下叶斑片状高密度影，其内可见充气支气管征。", "consolidation LLL" },
        { "右肺中叶肺炎", "consolidation RML" },
        { "双肺肺气肿，以上叶为著。", "emphysema both" },
        { "两肺上叶见无壁透亮区", "emphysema both" },
        { "左肺下叶实变伴少量胸腔积液", "consolidation LLL; effusion left small" },
        { "心影不大。", "" },
    };
    check(rows, WD_COUNT(rows));
}

static void chinese_denials_are_read(void **state)
{
    (void)state;
    static const row rows[] = {
        { "双侧胸腔未见积液。", "-effusion both" },
        { "未见胸腔积液及实变。", "-effusion; -consolidation" },
        { "双肺未见明确结节、实变或肺气肿", "-nodule both; -consolidation; -emphysema" },
        { "无胸水", "-effusion" },
        { "胸腔积液未见。", "-effusion" },
        { "胸腔积液（无）", "-effusion" },
        { "双肺未见实变，右上肺见结节", "-consolidation both; nodule RUL" },
        { "右肺上叶见结节，未见胸腔积液", "nodule RUL; -effusion" },
        { "左肺上叶结节，未见毛刺及钙化，约7mm", "nodule LUL 7" },
        { "结节无明显变化", "nodule" },
        { "余肺未见结节", "~nodule" },
        { "未见其他结节", "~nodule" },
        { "右侧胸腔积液已吸收", "-effusion right" },
        { "没有发现肺气肿", "-emphysema" },
    };
    check(rows, WD_COUNT(rows));
}

static void places_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned side;
        wd_lex_lobe lobe;
    } rows[] = {
        { "right upper lobe", WD_LEX_RIGHT, WD_LEX_RUL },
        { "Left Lower Lobe", WD_LEX_LEFT, WD_LEX_LLL },
        { "lower lobe, left", WD_LEX_LEFT, WD_LEX_LLL },
        { "right upper", WD_LEX_RIGHT, WD_LEX_RUL },
        { "RML", WD_LEX_RIGHT, WD_LEX_RML },
        { "lingula", WD_LEX_LEFT, WD_LEX_LUL },
        { "left", WD_LEX_LEFT, WD_LEX_NO_LOBE },
        { "left pleural space", WD_LEX_LEFT, WD_LEX_NO_LOBE },
        { "both lungs", WD_LEX_BOTH, WD_LEX_NO_LOBE },
        { "left and right", WD_LEX_BOTH, WD_LEX_NO_LOBE },
        { "both upper lobes", WD_LEX_BOTH, WD_LEX_NO_LOBE },
        { "右肺中叶", WD_LEX_RIGHT, WD_LEX_RML },
        { "左肺上叶", WD_LEX_LEFT, WD_LEX_LUL },
        { "左下叶", WD_LEX_LEFT, WD_LEX_LLL },
        { "双肺", WD_LEX_BOTH, WD_LEX_NO_LOBE },
        { "右侧胸腔", WD_LEX_RIGHT, WD_LEX_NO_LOBE },
        { "mediastinum", 0, WD_LEX_NO_LOBE },
        { "", 0, WD_LEX_NO_LOBE },
    };
    for (size_t i = 0; i < WD_COUNT(rows); i++) {
        unsigned side;
        wd_lex_lobe lobe;
        wd_lexicon_place(wd_span_str(rows[i].text), &side, &lobe);
        if (side != rows[i].side || lobe != rows[i].lobe)
            fail_msg("%s: side %u lobe %d", rows[i].text, side, (int)lobe);
        if (lobe)
            assert_int_equal(wd_lex_lobe_side(lobe), side);
    }
}

/* Nothing that a model writes can break the reader: bounds are held, whatever the bytes. */
static void any_bytes_are_survived(void **state)
{
    (void)state;
    static const char *const bits[] = { "no ",  "nodule ", "左",     "积液",  "12",
                                        ".",    " mm",     "x",      "，",    "\xE5",
                                        "\xFF", "right ",  "upper ", "lobe ", "9999999999999 mm ",
                                        "-",    "0.",      "未见",   "both " };
    wd_rand r;
    wd_rand_init(&r, 5);
    for (int round = 0; round < 300; round++) {
        wd_buf b = { 0 };
        const uint64_t n = wd_rand_below(&r, round % 10 ? 40 : 3000);
        for (uint64_t i = 0; i < n; i++)
            wd_buf_str(&b, bits[wd_rand_below(&r, WD_COUNT(bits))]);
        wd_mention m[4];
        memset(m, 0xA5, sizeof m);
        const size_t got = wd_lexicon_read(wd_buf_view(&b), m, 3);
        assert_in_range(got, 0, 3);
        for (size_t i = 0; i < got; i++) {
            assert_true(m[i].type < WD_LEX_N_TYPE && m[i].side <= 3 && m[i].lobe < WD_LEX_N_LOBE);
            assert_true(m[i].size_mm >= 0 && m[i].size_mm < 1000);
        }
        assert_int_equal(((uint8_t *)&m[3])[0], 0xA5);
        wd_buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(english_sentences_are_read),
        cmocka_unit_test(english_denials_are_read),
        cmocka_unit_test(chinese_sentences_are_read),
        cmocka_unit_test(chinese_denials_are_read),
        cmocka_unit_test(places_are_read),
        cmocka_unit_test(any_bytes_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
