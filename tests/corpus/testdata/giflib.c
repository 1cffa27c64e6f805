#include "drive.h"

#include <gif_lib.h>

static int discard(GifFileType *file, const GifByteType *data, int length) { return length; }

static GifFileType *with_image(void)
{
	int error;
	GifFileType *file = EGifOpen(NULL, discard, &error);
	SavedImage *image = GifMakeSavedImage(file, NULL);
	image->ImageDesc.Width = image->ImageDesc.Height = 2;
	image->RasterBits = calloc(1, 4);
	image->ImageDesc.ColorMap = GifMakeMapObject(2, NULL);
	return file;
}

static void short_extension(void)
{
	GifFileType *file = with_image();
	unsigned char one = 0;
	exact = 1;
	GifAddExtensionBlock(&file->SavedImages[0].ExtensionBlockCount, &file->SavedImages[0].ExtensionBlocks,
			     GRAPHICS_EXT_FUNC_CODE, 1, &one);
	GraphicsControlBlock block = {0};
	printf("result %d", EGifGCBToSavedExtension(&block, file, 0));
}

/* The copy of an image fails for want of memory: the original must stay. */
static void failed_copy(void)
{
	GifFileType *file = with_image();
	SavedImage source = file->SavedImages[0];
	allocations_left = 1; /* for the array of images; none for the colours */
	SavedImage *copy = GifMakeSavedImage(file, &source);
	printf("%s ", copy ? "a copy" : "no copy");
	fflush(stdout);
	printf("pixel %d", source.RasterBits[0]);
}

int main(void)
{
	static const struct probe probes[] = {
		{"short-extension", short_extension}, {"failed-copy", failed_copy}, {NULL, NULL},
	};
	return drive(probes);
}
