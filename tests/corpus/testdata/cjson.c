#include "drive.h"

#include "cJSON.h"
#include "cJSON_Utils.h"

static void insert_null(void)
{
	cJSON *array = cJSON_Parse("[1,2]");
	printf("inserted %d", cJSON_InsertItemInArray(array, 1, NULL));
}

static void set_null(void)
{
	cJSON *item = cJSON_CreateString("text");
	printf("set to %s", cJSON_SetValuestring(item, NULL) ? "something" : "nothing");
}

static void long_number(void)
{
	cJSON *item = cJSON_Parse("[9999999999999999999999999999999999999999999999912345678901234567890]");
	printf("%s", item ? "a number" : "no number");
}

static void ends_in_comma(void)
{
	static const char text[] = "{\"1\":1,";
	exact = 1;
	char *copy = malloc(sizeof text - 1);
	memcpy(copy, text, sizeof text - 1);
	printf("%s", cJSON_ParseWithLength(copy, sizeof text - 1) ? "an object" : "no object");
}

static void odd_index(void)
{
	cJSON *array = cJSON_Parse("[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28]");
	cJSON *found = cJSONUtils_GetPointer(array, "/1A");
	printf("%s", found ? cJSON_PrintUnformatted(found) : "no element");
}

int main(void)
{
	static const struct probe probes[] = {
		{"insert-null", insert_null}, {"set-null", set_null}, {"long-number", long_number},
		{"ends-in-comma", ends_in_comma}, {"odd-index", odd_index}, {NULL, NULL},
	};
	return drive(probes);
}
