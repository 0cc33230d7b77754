/* Names of common measurements. */
#include "care/terms.h"

#include <strings.h>

/* clang-format off */
static const wd_term terms[] = {
    { "2823-3", "Potassium [Moles/volume] in Serum or Plasma", { "potassium", "血钾" }, { { "serum potassium", "K+" }, { "钾离子", "血清钾" } } },
    { "2951-2", "Sodium [Moles/volume] in Serum or Plasma", { "sodium", "血钠" }, { { "serum sodium", "Na+" }, { "钠离子", "血清钠" } } },
    { "14682-9", "Creatinine [Moles/volume] in Serum or Plasma", { "creatinine", "肌酐" }, { { "serum creatinine", "Cr" }, { "血肌酐", "血清肌酐" } } },
    { "22664-7", "Urea [Moles/volume] in Serum or Plasma", { "urea", "尿素" }, { { "blood urea", "serum urea" }, { "血尿素", "尿素水平" } } },
    { "14749-6", "Glucose [Moles/volume] in Serum or Plasma", { "glucose", "血糖" }, { { "blood glucose", "blood sugar" }, { "葡萄糖", "血葡萄糖" } } },
    { "718-7", "Hemoglobin [Mass/volume] in Blood", { "hemoglobin", "血红蛋白" }, { { "haemoglobin", "Hb" }, { "血色素", "Hb" } } },
    { "6690-2", "Leukocytes [#/volume] in Blood by Automated count", { "white cells", "白细胞" }, { { "white cell count", "WBC", "leukocytes" }, { "白细胞计数", "WBC" } } },
    { "777-3", "Platelets [#/volume] in Blood by Automated count", { "platelets", "血小板" }, { { "platelet count", "PLT" }, { "血小板计数", "PLT" } } },
    { "1988-5", "C reactive protein [Mass/volume] in Serum or Plasma", { "CRP", "C反应蛋白" }, { { "C-reactive protein", "serum CRP" }, { "CRP", "C-反应蛋白" } } },
    { "1742-6", "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", { "ALT", "谷丙转氨酶" }, { { "alanine aminotransferase", "GPT" }, { "ALT", "丙氨酸氨基转移酶" } } },
    { "1751-7", "Albumin [Mass/volume] in Serum or Plasma", { "albumin", "白蛋白" }, { { "serum albumin", "plasma albumin" }, { "血清白蛋白", "血浆白蛋白" } } },
    { "14631-6", "Bilirubin.total [Moles/volume] in Serum or Plasma", { "bilirubin", "总胆红素" }, { { "total bilirubin", "serum bilirubin" }, { "血清总胆红素", "TBIL" } } },
    { "4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", { "HbA1c", "糖化血红蛋白" }, { { "glycated hemoglobin", "A1c" }, { "HbA1c", "糖化血色素" } } },
    { "6301-6", "INR in Platelet poor plasma by Coagulation assay", { "INR", "国际标准化比值" }, { { "international normalized ratio", "PT-INR" }, { "INR", "PT-INR" } } },
    { "48065-7", "Fibrin D-dimer FEU [Mass/volume] in Platelet poor plasma", { "D-dimer", "D-二聚体" }, { { "D dimer", "fibrin D-dimer" }, { "D二聚体", "D-dimer" } } },
    { "22748-8", "Cholesterol in LDL [Moles/volume] in Serum or Plasma", { "LDL cholesterol", "低密度脂蛋白胆固醇" }, { { "LDL", "LDL-C" }, { "低密度脂蛋白", "LDL-C" } } },
    { "3016-3", "Thyrotropin [Units/volume] in Serum or Plasma", { "TSH", "促甲状腺激素" }, { { "thyrotropin", "thyroid stimulating hormone" }, { "TSH", "促甲状腺素" } } },
    { "10839-9", "Troponin I.cardiac [Mass/volume] in Serum or Plasma", { "troponin", "肌钙蛋白" }, { { "troponin I", "cardiac troponin" }, { "肌钙蛋白I", "心肌肌钙蛋白" } } },
    { "2524-7", "Lactate [Moles/volume] in Serum or Plasma", { "lactate", "乳酸" }, { { "serum lactate", "plasma lactate" }, { "血乳酸", "乳酸水平" } } },
    { "8867-4", "Heart rate", { "heart rate", "心率" }, { { "pulse", "pulse rate" }, { "脉搏", "脉率" } } },
    { "85354-9", "Blood pressure panel with all children optional", { "blood pressure", "血压" }, { { "BP", "arterial pressure" }, { "血压值", "动脉血压" } } },
    { "8310-5", "Body temperature", { "temperature", "体温" }, { { "body temperature", "temp" }, { "体温值", "身体温度" } } },
    { "2708-6", "Oxygen saturation in Arterial blood", { "oxygen saturation", "血氧饱和度" }, { { "SpO2", "O2 saturation" }, { "血氧", "氧饱和度" } } },
    { "9279-1", "Respiratory rate", { "respiratory rate", "呼吸频率" }, { { "breathing rate", "respirations" }, { "呼吸次数", "呼吸率" } } },
    { "29463-7", "Body weight", { "weight", "体重" }, { { "body weight", "bodyweight" }, { "身体重量", "体重值" } } },
};
/* clang-format on */

const wd_term *wd_term_at(size_t i)
{
    return i < sizeof terms / sizeof *terms ? &terms[i] : NULL;
}

static bool is_called(const wd_term *t, const char *name)
{
    if (!strcasecmp(t->loinc, name))
        return true;
    for (int lang = 0; lang < 2; lang++) {
        if (!strcasecmp(t->name[lang], name))
            return true;
        for (int i = 0; i < WD_TERM_ALSO_MAX && t->also[lang][i]; i++)
            if (!strcasecmp(t->also[lang][i], name))
                return true;
    }
    return false;
}

const wd_term *wd_term_find(const char *name)
{
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++)
        if (is_called(&terms[i], name))
            return &terms[i];
    return NULL;
}
