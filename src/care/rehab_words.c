/* Measurements in words: for the prompt, and as sentences of their own. */
#include <math.h>

#include "care/rehab_inner.h"

static const char *const fault_titles[WD_N_FAULT][2] = {
    { "Knees past the toes, lean of the shin", "膝盖超过脚尖，小腿前倾" },
    { "Lean of the trunk", "躯干倾斜" },
    { "Too little range, reached", "幅度不足，达到" },
    { "Left and right differ by", "左右不对称，相差" },
    { "Knee of the raised leg bends", "抬起的腿屈膝" },
};

const char *wd_rehab__fault_title(wd_rehab_fault_kind k, bool zh)
{
    return fault_titles[k][zh];
}

double wd_rehab_tempo_s(const wd_rehab_measured *m)
{
    double sum = 0;
    for (uint32_t i = 0; i < m->n_rep; i++)
        sum += m->rep[i].end_s - m->rep[i].start_s;
    return m->n_rep ? sum / m->n_rep : 0;
}

static void write_reps(const uint32_t *rep, uint32_t n, bool zh, wd_buf *out)
{
    wd_buf_str(out, zh ? "第 " : n == 1 ? "repetition " : "repetitions ");
    for (uint32_t i = 0; i < n; i++)
        wd_buf_printf(out, "%s%u", !i ? "" : zh ? "、" : ", ", rep[i]);
    wd_buf_str(out, zh ? " 次" : "");
}

static void write_whole(const wd_rehab_measured *m, bool zh, wd_buf *out)
{
    const wd_rehab_rule *rule = wd_rehab_rule_of(m->kind);
    double lo = INFINITY, hi = -INFINITY;
    for (uint32_t i = 0; i < m->n_rep; i++) {
        lo = fmin(lo, m->rep[i].peak_deg);
        hi = fmax(hi, m->rep[i].peak_deg);
    }
    wd_buf_printf(out, zh ? "动作：%s\n" : "Exercise: %s\n", rule->title[zh]);
    if (rule->hold && m->n_rep)
        wd_buf_printf(out, zh ? "保持：%.1f 秒，%ld 度\n" : "Hold: %.1f s, %ld degrees\n", m->rep[0].hold_s,
                      lround(m->rep[0].peak_deg));
    else if (!m->n_rep)
        wd_buf_str(out, zh ? "次数：0\n" : "Repetitions: 0\n");
    else
        wd_buf_printf(out,
                      zh ? "次数：%u，每次 %.1f 秒，峰值 %ld 至 %ld 度\n"
                         : "Repetitions: %u, %.1f s each, peak %ld to %ld degrees\n",
                      m->n_rep, wd_rehab_tempo_s(m), lround(lo), lround(hi));
}

void wd_rehab_measured_text(const wd_rehab_measured *m, const wd_rehab_issue *issue, uint32_t n_issue,
                            bool zh, wd_buf *out)
{
    const wd_rehab_rule *rule = wd_rehab_rule_of(m->kind);
    write_whole(m, zh, out);
    wd_buf_str(out, zh ? (n_issue ? "问题：\n" : "问题：无\n") : n_issue ? "Faults:\n" : "Faults: none\n");
    for (uint32_t i = 0; i < n_issue; i++) {
        const wd_rehab_issue *f = &issue[i];
        wd_buf_printf(out, zh ? "%s：%ld 度，限值 %g" : "%s: %ld degrees, limit %g",
                      wd_rehab_fault_name(f->kind), lround(f->worst_deg), rule->limit_deg[f->kind]);
        if (!rule->hold) {
            wd_buf_str(out, zh ? "，" : ", ");
            write_reps(f->rep, f->n_rep, zh, out);
        }
        wd_buf_char(out, '\n');
    }
}

void wd_rehab__plain(const wd_rehab_measured *m, const wd_rehab_issue *f, bool zh, wd_buf *out)
{
    const wd_rehab_rule *rule = wd_rehab_rule_of(m->kind);
    wd_buf_printf(out, zh ? "%s %ld 度（限值 %g 度）" : "%s %ld degrees (limit %g degrees)",
                  fault_titles[f->kind][zh], lround(f->worst_deg), rule->limit_deg[f->kind]);
    if (!rule->hold) {
        wd_buf_str(out, zh ? "，" : ", ");
        write_reps(f->rep, f->n_rep, zh, out);
    }
    wd_buf_str(out, zh ? "。" : ".");
}

void wd_rehab__plain_summary(const wd_rehab_measured *m, uint32_t n_issue, bool zh, wd_buf *out)
{
    const wd_rehab_rule *rule = wd_rehab_rule_of(m->kind);
    if (m->main_why)
        wd_buf_printf(out, zh ? "%s：无法测量。" : "The %s could not be measured.", rule->title[zh]);
    else if (rule->hold && m->n_rep)
        wd_buf_printf(
            out, zh ? "%s：保持 %.1f 秒，问题 %u 类。" : "The %s was held for %.1f s; kinds of fault: %u.",
            rule->title[zh], m->rep[0].hold_s, n_issue);
    else
        wd_buf_printf(out, zh ? "%s：%u 次，问题 %u 类。" : "The %s: repetitions %u, kinds of fault %u.",
                      rule->title[zh], m->n_rep, n_issue);
}
