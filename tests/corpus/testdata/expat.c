#include "drive.h"

#include <expat.h>

static void negative_length(void)
{
	XML_Parser p = XML_ParserCreate(NULL);
	memcpy(XML_GetBuffer(p, 10), "<a>       ", 10);
	enum XML_Status status = XML_ParseBuffer(p, -1, 0);
	printf("status %d error %d", status, XML_GetErrorCode(p));
}

static void stop_unstarted(void)
{
	XML_Parser p = XML_ParserCreate(NULL);
	printf("status %d", XML_StopParser(p, XML_TRUE));
}

int main(void)
{
	static const struct probe probes[] = {
		{"negative-length", negative_length}, {"stop-unstarted", stop_unstarted}, {NULL, NULL},
	};
	return drive(probes);
}
