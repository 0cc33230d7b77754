/* Images and videos named on the command line, opened and decoded: files, DICOM objects, folders, ZIP files. */
#ifndef WD_CLI_INPUTS_H
#define WD_CLI_INPUTS_H

#include "cli/cli.h"
#include "engine/engine.h"

typedef struct wd_inputs {
    wd_media media;
    const char **image_name; /* [media.n_image] where each came from, for messages */
} wd_inputs;

/* images: pictures, or DICOM files, folders and ZIP files, of which up to n_slice slices are taken evenly and drawn
 * through `window` (media/window.h). Everything is released with the arena. Needs wd_sandbox_start(). */
WD_MUST_CHECK wd_status wd_inputs_open(wd_cli *cli, const wd_opt_list *images, const wd_opt_list *videos,
                                       const char *window, uint32_t n_slice, wd_inputs *out, wd_err *err);

#endif
