/* See dicom_codec.h. A frame is handed to DCMTK as a dataset of its own, with just the attributes that its decoders
 * look at: whatever else the file says cannot reach them. */
#include "media/dicom_codec.h"

#include <new>

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcdict.h>
#include <dcmtk/dcmdata/dcpixel.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmjpeg/djdecode.h>
#include <dcmtk/dcmjpls/djdecode.h>
#include <dcmtk/oflog/oflog.h>

namespace
{

bool prepared;

void prepare()
{
    if (prepared)
        return;
    prepared = true;
    OFLog::configure(OFLogger::OFF_LOG_LEVEL); /* its messages quote values */
    dcmDataDict.rdlock();                      /* loads it */
    dcmDataDict.rdunlock();
    DJDecoderRegistration::registerCodecs(EDC_never, EUC_never, EPC_colorByPixel);
    DJLSDecoderRegistration::registerCodecs(EJLSUC_never, EJLSPC_colorByPixel);
}

/* The attributes that a decoder asks for, and the one fragment. */
OFCondition build(const wd_codec_frame *f, DcmDataset &ds, DcmPixelData *&pixels)
{
    const E_TransferSyntax xfer = DcmXfer(f->transfer_syntax).getXfer();
    DcmPixelSequence *seq = new DcmPixelSequence(DCM_PixelSequenceTag);
    OFCondition c = seq->insert(new DcmPixelItem(DCM_PixelItemTag)); /* an empty offset table */

    DcmPixelItem *fragment = new DcmPixelItem(DCM_PixelItemTag);
    if (c.good())
        c = seq->insert(fragment);
    if (c.good())
        c = fragment->putUint8Array(f->data.p, static_cast<unsigned long>(f->data.n));
    pixels = new DcmPixelData(DCM_PixelData);
    pixels->putOriginalRepresentation(xfer, nullptr, seq); /* owns seq */
    if (c.good())
        c = ds.insert(pixels, OFTrue); /* owns pixels */
    ds.putAndInsertUint16(DCM_Rows, static_cast<Uint16>(f->rows));
    ds.putAndInsertUint16(DCM_Columns, static_cast<Uint16>(f->cols));
    ds.putAndInsertUint16(DCM_SamplesPerPixel, static_cast<Uint16>(f->samples));
    ds.putAndInsertUint16(DCM_BitsAllocated, static_cast<Uint16>(f->bits_allocated));
    ds.putAndInsertUint16(DCM_BitsStored, static_cast<Uint16>(f->bits_stored));
    ds.putAndInsertUint16(DCM_HighBit, static_cast<Uint16>(f->bits_stored - 1));
    ds.putAndInsertUint16(DCM_PixelRepresentation, f->is_signed);
    ds.putAndInsertString(DCM_PhotometricInterpretation, f->photometric);
    ds.putAndInsertString(DCM_NumberOfFrames, "1");
    if (f->samples > 1)
        ds.putAndInsertUint16(DCM_PlanarConfiguration, 0);
    return c;
}

wd_status decode(const wd_codec_frame *f, void *buf, size_t buf_bytes, wd_err *err)
{
    DcmDataset ds;
    DcmPixelData *pixels = nullptr;
    OFString model;
    Uint32 fragment = 0;

    prepare();
    if (!DcmXfer(f->transfer_syntax).isEncapsulated())
        return WD_FAIL(err, WD_E_UNSUPPORTED, "transfer syntax %.64s is not one that Ward reads",
                       f->transfer_syntax);
    OFCondition c = build(f, ds, pixels);
    if (c.good())
        c = pixels->getUncompressedFrame(&ds, 0, fragment, buf, static_cast<Uint32>(buf_bytes), model);
    if (c == EC_MemoryExhausted)
        return WD_FAIL(err, WD_E_NOMEM, "no memory to decode");
    if (c == EC_CannotChangeRepresentation || c == EC_UnsupportedEncoding)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "transfer syntax %.64s is not one that Ward reads",
                       f->transfer_syntax);
    if (c.bad())
        return WD_FAIL(err, WD_E_CORRUPT, "the compressed pixels do not decode: %s", c.text());
    return WD_OK;
}

} // namespace

void wd_codec_prepare(void)
{
    try {
        prepare();
    } catch (...) { /* decoding will fail and say so */
    }
}

wd_status wd_codec_decode(const wd_codec_frame *f, void *buf, size_t buf_bytes, wd_err *err)
{
    if (buf_bytes > 0xfffffff0u || f->data.n > 0xfffffff0u)
        return WD_FAIL(err, WD_E_LIMIT, "a frame of %zu bytes is too large to decode", buf_bytes);
    try {
        return decode(f, buf, buf_bytes, err);
    } catch (const std::bad_alloc &) {
        return WD_FAIL(err, WD_E_NOMEM, "no memory to decode");
    } catch (...) {
        return WD_FAIL(err, WD_E_CORRUPT, "the compressed pixels do not decode");
    }
}
