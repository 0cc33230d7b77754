/* A small grammar in two languages. */
#include "care/phantom/exercise_words.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"

#define MARKED_DEG 14.0 /* this far past the limit is more than a little */

typedef struct words {
    const char *cause, *advice[2]; /* advice: a little, marked */
} words;

/* clang-format off */
static const words en[WD_N_EXERCISE][WD_N_FAULT] = {
    [WD_EXERCISE_SQUAT] = {
        [WD_FAULT_KNEES_PAST_TOES] = { "Weight on the forefoot or tight ankles.",
            { "Push the hips back first and keep the weight on the heels.",
              "Squat to a chair behind you and keep the shins upright." } },
        [WD_FAULT_TRUNK_LEAN] = { "Weak back extensors or tight hips.",
            { "Lift the chest and look ahead while going down.",
              "Hold a support in front, go less deep and keep the chest up." } },
        [WD_FAULT_INSUFFICIENT_DEPTH] = { "Weak thighs, stiff ankles or fear of pain.",
            { "Go a little deeper as long as there is no pain.",
              "Practise slow squats to a high seat and lower it week by week." } } },
    [WD_EXERCISE_WALL_SIT] = {
        [WD_FAULT_KNEES_PAST_TOES] = { "The feet stand too close to the wall.",
            { "Move the feet a little forward until the shins are upright.",
              "Come up, step well forward and start again with upright shins." } },
        [WD_FAULT_TRUNK_LEAN] = { "The back does not rest against the wall.",
            { "Press the shoulders against the wall.",
              "Come up, lean the whole back on the wall and go down again." } },
        [WD_FAULT_INSUFFICIENT_DEPTH] = { "The thighs tire or the knees hurt.",
            { "Slide a little lower and hold for a shorter time.",
              "Hold several short times, each a little lower." } } },
    [WD_EXERCISE_STRAIGHT_LEG_RAISE] = {
        [WD_FAULT_INSUFFICIENT_DEPTH] = { "Weak hip flexors or tight hamstrings.",
            { "Raise the leg a little higher and lower it slowly.",
              "Stretch the hamstrings first and raise the leg in small steps." } },
        [WD_FAULT_KNEE_BENT] = { "The thigh does not keep the knee straight.",
            { "Tighten the thigh before lifting and keep it tight.",
              "Practise tightening the thigh with the leg flat, then lift only as high as the knee stays straight." } } },
    [WD_EXERCISE_KNEE_EXTENSION] = {
        [WD_FAULT_TRUNK_LEAN] = { "The trunk helps a weak thigh or yields to tight hamstrings.",
            { "Sit upright and hold the seat with both hands.",
              "Lean the back on a rest and extend only as far as you can sit upright." } },
        [WD_FAULT_INSUFFICIENT_DEPTH] = { "A weak thigh or a stiff knee.",
            { "Extend to the end and hold for a breath.",
              "Work on the last part of the movement with a roll under the knee." } },
        [WD_FAULT_ASYMMETRY] = { "One thigh is weaker or one knee is stiffer.",
            { "Do some more on the weaker side.",
              "Train the weaker side alone before both together." } } },
    [WD_EXERCISE_SHOULDER_ABDUCTION] = {
        [WD_FAULT_TRUNK_LEAN] = { "The trunk swings to help the arms up.",
            { "Stand tall and lift more slowly.",
              "Stand with the back at a wall and lift only as high as the trunk stays upright." } },
        [WD_FAULT_INSUFFICIENT_DEPTH] = { "Weak shoulders, a stiff joint or pain.",
            { "Lift a little higher as long as there is no pain.",
              "Let the other hand or a stick help the arm up." } },
        [WD_FAULT_ASYMMETRY] = { "One shoulder is weaker, stiffer or hurts.",
            { "Lift both arms in front of a mirror at the same pace.",
              "Train the weaker shoulder alone, helped by the other hand." } } },
};

static const words zh[WD_N_EXERCISE][WD_N_FAULT] = {
    [WD_EXERCISE_SQUAT] = {
        [WD_FAULT_KNEES_PAST_TOES] = { "重心偏前脚掌或踝关节活动受限。",
            { "先向后坐髋，重心放在脚跟。", "身后放一把椅子练习坐站，保持小腿竖直。" } },
        [WD_FAULT_TRUNK_LEAN] = { "背伸肌力量不足或髋部紧张。",
            { "下蹲时挺胸，目视前方。", "双手扶住前方支撑，减小下蹲幅度并保持挺胸。" } },
        [WD_FAULT_INSUFFICIENT_DEPTH] = { "大腿力量不足、踝关节僵硬或怕痛。",
            { "无痛时再蹲低一些。", "对着较高的座面慢蹲，逐周降低高度。" } } },
    [WD_EXERCISE_WALL_SIT] = {
        [WD_FAULT_KNEES_PAST_TOES] = { "双脚离墙太近。",
            { "双脚稍向前移，直到小腿竖直。", "先站起，双脚明显前移后重新下蹲，保持小腿竖直。" } },
        [WD_FAULT_TRUNK_LEAN] = { "背部没有贴墙。",
            { "双肩贴紧墙面。", "先站起，整个背部靠墙后再下蹲。" } },
        [WD_FAULT_INSUFFICIENT_DEPTH] = { "大腿疲劳或膝部疼痛。",
            { "再下滑一些，缩短保持时间。", "分多次短时间保持，每次稍低一些。" } } },
    [WD_EXERCISE_STRAIGHT_LEG_RAISE] = {
        [WD_FAULT_INSUFFICIENT_DEPTH] = { "屈髋力量不足或腘绳肌紧张。",
            { "腿再抬高一些，缓慢放下。", "先拉伸腘绳肌，再分小步抬高。" } },
        [WD_FAULT_KNEE_BENT] = { "大腿没有保持膝关节伸直。",
            { "抬腿前先绷紧大腿并保持。", "先平放练习绷紧大腿，再抬到膝能伸直的高度。" } } },
    [WD_EXERCISE_KNEE_EXTENSION] = {
        [WD_FAULT_TRUNK_LEAN] = { "大腿力量不足由躯干代偿，或腘绳肌紧张。",
            { "坐直，双手扶住座面。", "背靠椅背，只伸到能坐直的角度。" } },
        [WD_FAULT_INSUFFICIENT_DEPTH] = { "大腿力量不足或膝关节僵硬。",
            { "伸到底并稍作停留。", "膝下垫卷，练习最后一段伸直。" } },
        [WD_FAULT_ASYMMETRY] = { "一侧大腿较弱或膝关节较僵。",
            { "较弱一侧多练一些。", "先单独练较弱一侧，再双侧同练。" } } },
    [WD_EXERCISE_SHOULDER_ABDUCTION] = {
        [WD_FAULT_TRUNK_LEAN] = { "躯干摆动代偿抬臂。",
            { "站直，放慢抬臂速度。", "背靠墙站立，只抬到躯干能保持竖直的高度。" } },
        [WD_FAULT_INSUFFICIENT_DEPTH] = { "肩部力量不足、关节僵硬或疼痛。",
            { "无痛时再抬高一些。", "用另一只手或体操棒辅助抬臂。" } },
        [WD_FAULT_ASYMMETRY] = { "一侧肩较弱、较僵或疼痛。",
            { "对着镜子双臂同速抬起。", "先由另一只手辅助单独练较弱一侧。" } } },
};

/* "" or a word of degree, what was measured, where: see issue(). */
static const char *const issue_en[WD_N_FAULT] = {
    "The knees pass the toes%s: the shins lean %d degrees%s.",
    "The trunk leans%s: %d degrees%s.",
    "The movement stops short%s: it reaches %d degrees%s.",
    "Left and right differ%s: by %d degrees%s.",
    "The knee of the raised leg bends%s: %d degrees%s.",
};
static const char *const issue_zh[WD_N_FAULT] = {
    "膝盖%s超过脚尖：小腿前倾 %d 度%s。", "躯干%s倾斜：%d 度%s。", "幅度%s不足：达到 %d 度%s。",
    "左右%s不对称：相差 %d 度%s。", "抬起的腿%s屈膝：%d 度%s。",
};
/* clang-format on */

static void add(char *out, size_t room, const char *fmt, ...) WD_PRINTF(3, 4);
static void add(char *out, size_t room, const char *fmt, ...)
{
    const size_t n = strlen(out);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(out + n, room - n, fmt, ap);
    va_end(ap);
}

/* " in repetitions 1, 2 and 4"; nothing for a hold. */
static void where(const wd_exercise_said *s, char out[160])
{
    out[0] = 0;
    if (wd_rehab_rule_of(s->exercise)->hold || !s->n_rep)
        return;
    const uint32_t n = WD_MIN(s->n_rep, 12u); /* a longer list is no help */
    add(out, 160, "%s", s->zh ? "，第 " : n > 1 ? " in repetitions " : " in repetition ");
    for (uint32_t i = 0; i < n; i++) {
        const char *gap = i == 0 ? "" : s->zh ? "、" : i + 1 == n ? " and " : ", ";
        add(out, 160, "%s%u", gap, s->rep[i]);
    }
    if (s->zh)
        add(out, 160, "%s", " 次");
}

void wd_exercise_say(const wd_exercise_said *s, wd_exercise_phrase *out)
{
    const double limit = wd_rehab_rule_of(s->exercise)->limit_deg[s->kind];
    const bool marked = fabs(s->worst_deg - limit) >= MARKED_DEG;
    const words *w = s->zh ? &zh[s->exercise][s->kind] : &en[s->exercise][s->kind];
    char at[160];
    where(s, at);
    const char *much = s->zh ? (marked ? "明显" : "") : marked ? " clearly" : "";
    snprintf(out->issue, sizeof out->issue, (s->zh ? issue_zh : issue_en)[s->kind], much,
             (int)lround(s->worst_deg), at);
    snprintf(out->cause, sizeof out->cause, "%s", w->cause ? w->cause : "");
    snprintf(out->advice, sizeof out->advice, "%s", w->advice[marked] ? w->advice[marked] : "");
}

void wd_exercise_sum_up(wd_exercise_kind k, bool is_zh, uint32_t n_rep, double hold_s, uint32_t n_fault,
                        char out[320])
{
    const wd_rehab_rule *r = wd_rehab_rule_of(k);
    out[0] = 0;
    if (is_zh) {
        if (r->hold)
            add(out, 320, "%s保持 %.1f 秒，", r->title[1], hold_s);
        else
            add(out, 320, "%s完成 %u 次，", r->title[1], n_rep);
        add(out, 320, "%s", n_fault ? "动作需要改进。" : "动作规范。");
        return;
    }
    if (r->hold)
        add(out, 320, "The %s was held for %.1f seconds", r->title[0], hold_s);
    else
        add(out, 320, "The %s was done %u times", r->title[0], n_rep);
    add(out, 320, "%s", n_fault ? "; its form needs work." : " in good form.");
}
