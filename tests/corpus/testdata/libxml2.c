#include "drive.h"

#include <libxml/HTMLparser.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/pattern.h>
#include <libxml/tree.h>
#include <libxml/valid.h>
#include <libxml/xmlschemas.h>

static void say(void *to, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vfprintf(stdout, format, list);
	va_end(list);
}

static xmlDocPtr parse(const char *text, int options)
{
	xmlSetGenericErrorFunc(NULL, say);
	return xmlReadMemory(text, strlen(text), "text.xml", NULL, options);
}

static void long_name(void)
{
	char *text = malloc(60003);
	memset(text, 'a', 60002);
	text[0] = '<';
	text[60000] = '/', text[60001] = '>', text[60002] = 0;
	parse(text, 0);
}

static void owned_entity(void)
{
	xmlDocPtr doc = parse("<!DOCTYPE a [<!ENTITY e SYSTEM 'sys'>]><a/>", 0);
	xmlEntityPtr e = xmlGetDocEntity(doc, BAD_CAST "e");
	printf("%s", xmlDictOwns(doc->dict, e->SystemID) ? "the dictionary's" : "its own");
}

static void schema(const char *text, const char *instance)
{
	xmlSchemaParserCtxtPtr parser = xmlSchemaNewMemParserCtxt(text, strlen(text));
	xmlSchemaSetParserErrors(parser, say, say, NULL);
	xmlSchemaPtr s = xmlSchemaParse(parser);
	printf("%s", s ? "a schema" : "no schema");
	fflush(stdout);
	if (s && instance) {
		xmlSchemaValidCtxtPtr valid = xmlSchemaNewValidCtxt(s);
		xmlSchemaSetValidErrors(valid, say, say, NULL);
		printf(", validated with %d", xmlSchemaValidateDoc(valid, parse(instance, 0)));
	}
}

static void own_substitute(void)
{
	schema("<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema'>"
	       "<xs:element name='e' substitutionGroup='e'/>"
	       "<xs:element name='t' substitutionGroup='e' type='xs:decimal'/></xs:schema>", NULL);
}

static void simple_base(void)
{
	schema("<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns='http://t' targetNamespace='http://t'>"
	       "<xs:complexType name='B'><xs:simpleContent><xs:extension base='xs:int'/></xs:simpleContent></xs:complexType>"
	       "<xs:complexType name='C'><xs:complexContent><xs:extension base='B'><xs:sequence>"
	       "<xs:element name='bad' type='xs:int' minOccurs='0'/></xs:sequence></xs:extension></xs:complexContent></xs:complexType>"
	       "<xs:element name='Child' type='C'/></xs:schema>", NULL);
}

static void empty_strings(void)
{
	xmlDictPtr dict = xmlDictCreate();
	printf("%s", xmlDictLookup(dict, BAD_CAST "a", 0) == xmlDictLookup(dict, BAD_CAST "z", 0) ? "the same" : "two strings");
}

static void reset_namespaces(void)
{
	xmlParserCtxtPtr ctxt = xmlCreatePushParserCtxt(NULL, NULL, "<a xmlns='u'><b xmlns='v'>  ", 27, "f");
	xmlParseChunk(ctxt, " x", 2, 0);
	xmlCtxtReset(ctxt);
	printf("%s", ctxt->nsNr ? "namespaces stay" : "no namespaces");
}

static void reset_html_namespaces(void)
{
	htmlParserCtxtPtr ctxt = htmlNewParserCtxt();
	ctxt->nsNr = 4;
	htmlCtxtReset(ctxt);
	printf("%s", ctxt->nsNr ? "namespaces stay" : "no namespaces");
}

/*
 * Keys of the same value in several children are collected as duplicates. The
 * third child makes that list grow while it is gone through.
 */
static void many_duplicates(void)
{
	static const struct { int from, to; } ids[] = {{0, 200}, {0, 10}, {100, 200}};
	char *text = malloc(100000), *end = text;
	end += sprintf(end, "<r>");
	for (int child = 0; child < 3; child++) {
		end += sprintf(end, "<c>");
		for (int i = ids[child].from; i < ids[child].to; i++)
			end += sprintf(end, "<i id='n%d'/>", i);
		end += sprintf(end, "</c>");
	}
	sprintf(end, "<f to='n50'/></r>");
	schema("<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema'>"
	       "<xs:element name='r'><xs:complexType><xs:sequence>"
	       "<xs:element name='c' maxOccurs='unbounded'><xs:complexType><xs:sequence>"
	       "<xs:element name='i' maxOccurs='unbounded'><xs:complexType><xs:attribute name='id' type='xs:string'/></xs:complexType></xs:element>"
	       "</xs:sequence></xs:complexType>"
	       "<xs:key name='k'><xs:selector xpath='i'/><xs:field xpath='@id'/></xs:key></xs:element>"
	       "<xs:element name='f'><xs:complexType><xs:attribute name='to' type='xs:string'/></xs:complexType></xs:element>"
	       "</xs:sequence></xs:complexType>"
	       "<xs:keyref name='kr' refer='k'><xs:selector xpath='f'/><xs:field xpath='@to'/></xs:keyref>"
	       "</xs:element></xs:schema>", text);
}

static void validate(xmlDocPtr doc)
{
	xmlValidCtxtPtr valid = xmlNewValidCtxt();
	valid->error = valid->warning = say;
	printf(" valid %d", xmlValidateDocument(valid, doc));
}

static void nameless_element(void)
{
	xmlDocPtr doc = parse("<!DOCTYPE a [<!ELEMENT a (b,b)><!ELEMENT b EMPTY>]><a><b/></a>", 0);
	xmlNodePtr a = xmlDocGetRootElement(doc), b = xmlNewNode(NULL, BAD_CAST "b");
	xmlAddChild(a, b);
	b->name = NULL;
	validate(doc);
}

static void long_prefix(void)
{
	char *text = malloc(20000), *long1 = malloc(3501), *long2 = malloc(4501);
	memset(long1, 'p', 3500), long1[3500] = 0;
	memset(long2, 'n', 4500), long2[4500] = 0;
	sprintf(text, "<!DOCTYPE a [<!ELEMENT a (b)>]><a><%s:%s xmlns:%s='u'/></a>", long1, long2, long1);
	validate(parse(text, 0));
}

static void child_axis(void)
{
	xmlPatternPtr pattern = xmlPatterncompile(BAD_CAST "child::a", NULL, 0, NULL);
	printf("match %d", xmlPatternMatch(pattern, xmlDocGetRootElement(parse("<a/>", 0))));
}

static void own_start(void *user, const xmlChar *name, const xmlChar **attributes) {}

static void own_handler(void)
{
	xmlParserCtxtPtr ctxt = xmlNewParserCtxt();
	ctxt->sax->startElement = own_start;
	xmlCtxtUseOptions(ctxt, XML_PARSE_SAX1);
	printf("%s", ctxt->sax->startElement == own_start ? "kept" : "replaced");
}

static void second_version(void)
{
	xmlSAXHandler handler;
	memset(&handler, 0, sizeof handler);
	xmlSAXVersion(&handler, 2);
	printf("%s", handler.startElement ? "set" : "not there");
}

/* A copy that fails for want of memory must not leave half of it behind. */
static void failed_copy(void)
{
	xmlDocPtr from = parse("<!DOCTYPE a [<!ELEMENT a (b)><!ELEMENT b EMPTY>]><!-- text --><a><b/></a>", 0);
	int dangling = 0;
	for (int left = 0; left < 200; left++) {
		xmlDocPtr to = xmlNewDoc(BAD_CAST "1.0");
		allocations_left = left;
		xmlNodePtr copy = xmlDocCopyNodeList(to, from->children);
		allocations_left = -1;
		dangling += copy == NULL && to->intSubset != NULL;
	}
	printf("%s", dangling ? "dangling" : "all or nothing");
}

int main(void)
{
	static const struct probe probes[] = {
		{"long-name", long_name}, {"owned-entity", owned_entity}, {"own-substitute", own_substitute},
		{"simple-base", simple_base}, {"empty-strings", empty_strings}, {"reset-namespaces", reset_namespaces},
		{"reset-html-namespaces", reset_html_namespaces}, {"many-duplicates", many_duplicates},
		{"nameless-element", nameless_element}, {"long-prefix", long_prefix}, {"child-axis", child_axis},
		{"own-handler", own_handler}, {"second-version", second_version}, {"failed-copy", failed_copy}, {NULL, NULL},
	};
	return drive(probes);
}
