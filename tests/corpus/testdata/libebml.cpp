#include "drive.h"

#include <ebml/MemReadIOCallback.h>
#include <ebml/MemIOCallback.h>

static void read_too_much()
{
	libebml::MemIOCallback io(64);
	io.write("0123456789", 10);
	io.setFilePointer(1);
	char to[4096];
	printf("read %u", (unsigned)io.read(to, SIZE_MAX));
}

int main()
{
	static const struct probe probes[] = {{"read-too-much", read_too_much}, {nullptr, nullptr}};
	return drive(probes);
}
