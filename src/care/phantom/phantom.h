/* What all synthetic cases share.
 *
 * A case is drawn from a seed and nothing else: the same seed, options and program give the same bytes on every
 * x86-64 machine. Seeds below WD_PHANTOM_TRAIN_SEED are for evaluation, seeds from it on for training: the two are
 * disjoint by construction.
 *
 * A case is a folder: what a user would have (series/ of DICOM files, video.mp4, chart.json) and truth.json beside
 * it. Nobody is depicted: geometry only, for demonstrations and tests.
 */
#ifndef WD_CARE_PHANTOM_PHANTOM_H
#define WD_CARE_PHANTOM_PHANTOM_H

#define WD_PHANTOM_TRAIN_SEED 1000000

#endif
