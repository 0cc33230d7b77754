/* How questions about a chart may be worded: {n} a name, {m} a second one, {k} a count, {d} a date. */
#include "base/compiler.h"
#include "care/phantom/chart_inner.h"

/* clang-format off */
const wd_chart__wording wd_chart__wordings[] = {
    { "latest", {
        { "What is the latest {n}?", "What was the most recent {n}?", "Current {n}?", "Show me the last {n} value.",
          "How high is the {n} now?", "Give me the newest {n} result.", "Please look up the {n}.", "{n}, last value?" },
        { "最近一次{n}是多少？", "最新的{n}结果？", "目前{n}多少？", "请查一下{n}。", "患者现在的{n}是多少？",
          "帮我看看最近的{n}值。", "{n}最后一次结果是什么？", "当前{n}水平如何？" } } },
    { "trend", {
        { "How has the {n} changed over the last {k} results?", "Is the {n} rising or falling over the last {k} values?",
          "Trend of the {n}, last {k} measurements?", "Show the course of the {n} over {k} results.",
          "What is the {n} trend in the last {k} tests?", "Compare the last {k} {n} values.",
          "Did the {n} go up or down in the last {k} measurements?" },
        { "最近{k}次{n}的变化趋势如何？", "{n}最近{k}次是升高还是降低？", "比较最近{k}次{n}。", "请看最近{k}次{n}的走势。",
          "最近{k}次检测中{n}有什么变化？", "{n}近{k}次结果趋势？", "近{k}次{n}在上升还是下降？" } } },
    { "above", {
        { "Is the {n} above the reference range?", "Is the {n} too high?", "Is the {n} elevated?", "Does the {n} exceed the normal range?",
          "Is the latest {n} raised?", "Was the last {n} higher than normal?" },
        { "{n}高于参考范围吗？", "{n}偏高吗？", "{n}是否升高？", "最近的{n}是否超过正常上限？", "患者{n}高不高？", "最近一次{n}是不是太高？" } } },
    { "below", {
        { "Is the {n} below the reference range?", "Is the {n} too low?", "Is the {n} decreased?", "Is the latest {n} under the normal range?",
          "Is the {n} reduced?", "Was the last {n} lower than normal?" },
        { "{n}低于参考范围吗？", "{n}偏低吗？", "{n}是否降低？", "最近的{n}是否低于正常下限？", "患者{n}低不低？", "最近一次{n}是不是太低？" } } },
    { "within", {
        { "Is the {n} normal?", "Is the {n} within the reference range?", "Is the latest {n} in the normal range?",
          "Is the {n} okay?", "Was the last {n} within normal limits?", "Is the {n} unremarkable?" },
        { "{n}正常吗？", "{n}在参考范围内吗？", "最近的{n}是否正常？", "{n}有没有异常？", "最近一次{n}在正常范围内吗？", "患者{n}是否在正常值内？" } } },
    { "when", {
        { "When was the {n} last measured?", "When was the last {n}?", "What is the date of the latest {n}?", "On which day was the {n} last checked?",
          "How recent is the last {n}? Give the date.", "Date of the last {n}?" },
        { "最近一次{n}是什么时候测的？", "{n}上次检测日期？", "上一次查{n}是哪天？", "最后一次{n}的日期是什么？", "{n}最近一次检查时间？", "什么时候最后测过{n}？" } } },
    { "since", {
        { "List the {n} since {d}.", "All {n} results since {d}?", "Which {n} values were measured since {d}?", "Show the {n} from {d} on.",
          "What were the {n} results from {d} until today?", "{n} values since {d}, please." },
        { "列出{d}以来的{n}。", "{d}以来的{n}结果？", "从{d}起{n}测了哪些值？", "请显示{d}之后的{n}。", "{d}至今的{n}是多少？", "查一下自{d}以来的{n}值。" } } },
    { "count", {
        { "How many {n} results are there?", "How often was the {n} measured?", "Number of {n} measurements?", "How many times was the {n} checked?",
          "Count the {n} results.", "How many {n} values does the chart hold?" },
        { "{n}共测过几次？", "有多少次{n}结果？", "{n}检测次数？", "病历中有几次{n}记录？", "统计一下{n}的次数。", "{n}一共查了多少次？" } } },
    { "pair", {
        { "What are the latest {n} and {m}?", "Show me the last {n} and the last {m}.", "Current {n} and {m}?", "Give me the newest {n} and {m} results.",
          "Please look up the {n} and the {m}.", "How are the {n} and the {m} now?" },
        { "最近一次{n}和{m}是多少？", "最新的{n}与{m}结果？", "目前{n}和{m}多少？", "请查一下{n}和{m}。", "帮我看看最近的{n}及{m}。", "患者现在的{n}和{m}是多少？" } } },
    { "medications", {
        { "What medications is the patient on?", "List the current medications.", "Which drugs does the patient take now?", "Current medication?",
          "What is the patient taking at the moment?", "Show the active prescriptions.", "Give me the medication list." },
        { "患者目前用什么药？", "列出当前用药。", "现在服用哪些药物？", "当前用药情况？", "患者正在用哪些药？", "请显示有效医嘱用药。", "给我看看用药清单。" } } },
    { "stopped", {
        { "Which medications were stopped?", "List the discontinued drugs.", "What was taken before but stopped?", "Which prescriptions are no longer active?",
          "Show the stopped medications.", "What drugs have been discontinued?" },
        { "停用了哪些药？", "列出已停用的药物。", "哪些药已经停了？", "以前用过但已停的药有哪些？", "请显示已停药物。", "有哪些药物不再使用？" } } },
    { "medication count", {
        { "How many medications is the patient on?", "Number of current medications?", "How many drugs does the patient take now?", "Count the active prescriptions.",
          "How many active medications are there?", "How many different drugs are taken at the moment?" },
        { "患者目前用几种药？", "当前用药有多少种？", "现在服用几种药物？", "有效用药数量？", "正在使用的药物有几种？", "统计当前用药种数。" } } },
    { "dose", {
        { "What is the dose of {n}?", "How much {n} is prescribed?", "At what dose is {n} given?", "{n} dose?",
          "How is {n} dosed?", "What dosage of {n} was ordered?", "Please check the {n} dose." },
        { "{n}的剂量是多少？", "{n}怎么用？", "{n}开了多大剂量？", "{n}用量？", "{n}的用法用量是什么？", "请查{n}的剂量。", "医嘱中{n}是多少？" } } },
    { "taking", {
        { "Is the patient taking {n}?", "Does the patient take {n}?", "Is {n} prescribed?", "Is the patient on {n}?",
          "Is {n} among the current medications?", "Is {n} still being given?" },
        { "患者在用{n}吗？", "患者服用{n}吗？", "有没有开{n}？", "目前是否使用{n}？", "当前用药中有{n}吗？", "还在用{n}吗？" } } },
    { "allergies", {
        { "What allergies does the patient have?", "List the allergies.", "Any known allergies?", "Is the patient allergic to anything?",
          "Which allergies are recorded?", "Show the allergy list." },
        { "患者对什么过敏？", "列出过敏史。", "有过敏吗？", "有哪些已知过敏？", "记录了哪些过敏？", "请显示过敏清单。" } } },
    { "allergic to", {
        { "Is the patient allergic to {n}?", "Is there an allergy to {n}?", "Any allergy to {n}?", "Does the patient react to {n}?",
          "Is an allergy against {n} known?", "Has an allergy to {n} been recorded?" },
        { "患者对{n}过敏吗？", "有没有{n}过敏？", "是否对{n}过敏？", "有{n}过敏史吗？", "记录过{n}过敏吗？", "已知对{n}过敏吗？" } } },
    { "active conditions", {
        { "What conditions does the patient have?", "List the active diagnoses.", "Which diseases are active?", "Current problem list?",
          "What is the patient being treated for?", "Show the active conditions." },
        { "患者有哪些疾病？", "列出当前诊断。", "目前有哪些活动性疾病？", "现有问题清单？", "患者现患哪些病？", "请显示当前诊断。" } } },
    { "resolved conditions", {
        { "Which conditions have resolved?", "List the past diagnoses.", "What diseases did the patient have before?", "Show the resolved conditions.",
          "Which diagnoses are no longer active?", "Past medical problems that have resolved?" },
        { "哪些疾病已经缓解？", "列出既往已愈诊断。", "患者以前得过什么已治愈的病？", "请显示已解决的诊断。", "哪些诊断已不再活动？", "既往已痊愈的疾病有哪些？" } } },
    { "has condition", {
        { "Does the patient have {n}?", "Is {n} known?", "Any history of {n}?", "Has {n} been diagnosed?",
          "Is there a diagnosis of {n}?", "Did the patient ever have {n}?" },
        { "患者有{n}吗？", "有没有{n}病史？", "是否诊断过{n}？", "以前得过{n}吗？", "病历中有{n}的诊断吗？", "患者是否患{n}？" } } },
    { "last imaging", {
        { "What did the last imaging study show?", "What was the most recent imaging?", "Result of the latest imaging study?", "Conclusion of the last scan?",
          "Show the newest imaging report.", "What is the latest imaging finding?" },
        { "最近一次影像检查结果是什么？", "最新的影像检查显示什么？", "上次影像检查结论？", "请看最近的影像报告。", "最后一次影像检查发现什么？", "最近做的影像检查怎么样？" } } },
    { "last of modality", {
        { "What did the last {n} show?", "Conclusion of the latest {n}?", "What was found on the most recent {n}?", "Show the result of the last {n}.",
          "What does the newest {n} report say?", "Findings of the last {n}?" },
        { "最近一次{n}检查显示什么？", "最新{n}的结论？", "上次{n}结果是什么？", "请看最近的{n}报告。", "最后一次{n}发现什么？", "最近的{n}怎么样？" } } },
    { "imaging count", {
        { "How many {n} studies were done?", "Number of {n} studies?", "How often was a study by {n} done?", "How many {n} examinations are there?",
          "Count the {n} studies.", "How many times was {n} performed?" },
        { "做过几次{n}？", "{n}检查共多少次？", "有几次{n}检查？", "{n}次数？", "统计{n}检查次数。", "一共做了多少次{n}？" } } },
    { "outside", {
        { "What is the patient's {n}?", "Tell me the patient's {n}.", "Do you know the patient's {n}?", "What about the patient's {n}?",
          "Is anything known about the patient's {n}?", "Please look up the patient's {n}." },
        { "患者的{n}是什么？", "告诉我患者的{n}。", "知道患者的{n}吗？", "患者的{n}情况如何？", "请查患者的{n}。", "有没有患者的{n}信息？" } } },
};
/* clang-format on */
const size_t wd_chart__n_wording = WD_COUNT(wd_chart__wordings);
