#include "drive.h"

#include <libcue.h>

static void negative_index(void)
{
	Cd *cd = cue_parse_string("FILE x.mp3 MP3\nTRACK 000 AUDIO\nINDEX 4294567296 0\n");
	printf("%s", cd ? "a sheet" : "no sheet");
}

int main(void)
{
	static const struct probe probes[] = {{"negative-index", negative_index}, {NULL, NULL}};
	return drive(probes);
}
