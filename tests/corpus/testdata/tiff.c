#include "drive.h"

#include <tiffio.h>

/* A strip of LZW data without its end, read again after the error. */
static void no_end(void)
{
	unsigned char row[64] = {1, 2, 3};
	char name[] = "/tmp/corpusXXXXXX";
	close(mkstemp(name));
	TIFF *out = TIFFOpen(name, "w");
	TIFFSetField(out, TIFFTAG_IMAGEWIDTH, 64);
	TIFFSetField(out, TIFFTAG_IMAGELENGTH, 4);
	TIFFSetField(out, TIFFTAG_BITSPERSAMPLE, 8);
	TIFFSetField(out, TIFFTAG_SAMPLESPERPIXEL, 1);
	TIFFSetField(out, TIFFTAG_ROWSPERSTRIP, 4);
	TIFFSetField(out, TIFFTAG_COMPRESSION, COMPRESSION_LZW);
	TIFFSetField(out, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
	for (int i = 0; i < 4; i++) {
		for (int j = 0; j < 64; j++)
			row[j] = rand();
		TIFFWriteScanline(out, row, i, 0);
	}
	TIFFFlush(out);
	TIFFClose(out);
	/* Cut the strip short. */
	TIFF *in = TIFFOpen(name, "r+");
	uint64_t *counts;
	TIFFGetField(in, TIFFTAG_STRIPBYTECOUNTS, &counts);
	counts[0] = 100;
	unlink(name);
	for (int i = 0; i < 4; i++)
		printf("row %d: %d\n", i, TIFFReadScanline(in, row, i, 0));
}

static void say(const char *module, const char *format, va_list list) { vprintf(format, list); puts(""); }

int main(void)
{
	static const struct probe probes[] = {{"no-end", no_end}, {NULL, NULL}};
	TIFFSetErrorHandler(say);
	return drive(probes);
}
