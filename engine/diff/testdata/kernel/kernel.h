/* What the fixtures have of a kernel's headers: tables beside the code, as x86 kernels make them. */
#define noinline __attribute__((noinline))
#define notrace __attribute__((no_instrument_function))
#define __init __attribute__((section(".init.text"))) noinline
#define __read_mostly __attribute__((section(".data..read_mostly")))

/* struct bug_entry: the place, the file, the line, flags */
#define BUG_ON(condition) do { if (condition) asm volatile("1:\t.byte 0x0f, 0x0b\n" \
	".pushsection __bug_table,\"aw\"\n2:\t.long 1b - .\n\t.long %c0 - .\n\t.word %c1\n\t.word 0\n.popsection\n" \
	: : "i" (__FILE__), "i" (__LINE__)); } while (0)

/* struct static_key and an entry of the jump table: the place, where it leads to, the key */
struct static_key { int enabled; void *entries; };
#define STATIC_BRANCH(key) ({ int on = 0; asm goto("1:\t.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n" \
	".pushsection __jump_table,\"aw\"\n\t.balign 8\n\t.long 1b - ., %l[yes] - .\n\t.quad %c0 - .\n.popsection\n" \
	: : "i" (&key) : : yes); if (0) { yes: on = 1; } on; })

/* A jump that objtool makes a nop of, which RAW objects still have. */
#ifdef RAW
#define MARKED_JUMP ".byte 0xe9\n\t.long %l[yes] - . - 4\n"
#else
#define MARKED_JUMP ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
#endif
#define MARKED_BRANCH(key) ({ int on = 0; asm goto("1:\t" MARKED_JUMP \
	".pushsection __jump_table,\"aw\"\n\t.balign 8\n\t.long 1b - ., %l[yes] - .\n\t.quad %c0 + 2 - .\n.popsection\n" \
	: : "i" (&key) : : yes); if (0) { yes: on = 1; } on; })

/* What objtool lists. */
#define RETURN_SITE asm volatile("1:\n\t.pushsection .return_sites,\"a\"\n\t.long 1b - .\n.popsection\n")
#define SEAL(name) asm(".pushsection .ibt_endbr_seal,\"a\"\n\t.long " #name " - .\n.popsection\n")

/* struct alt_instr: the place, the replacement, the feature, lengths */
#define ALTERNATIVE(old, new) asm volatile("661:\t" old "\n662:\n" \
	".pushsection .altinstructions,\"a\"\n\t.long 661b - .\n\t.long 663f - .\n\t.word 1\n\t.byte 662b - 661b\n\t.byte 664f - 663f\n.popsection\n" \
	".pushsection .altinstr_replacement,\"ax\"\n663:\t" new "\n664:\n.popsection\n" : : : "memory")

/* struct kernel_symbol */
#define EXPORT_SYMBOL(name) asm(".pushsection __ksymtab_gpl,\"a\"\n\t.balign 4\n__ksymtab_" #name ":\n\t.long " #name " - .\n\t.long 1f - .\n\t.long 0\n.popsection\n" \
	".pushsection __ksymtab_strings,\"aMS\",@progbits,1\n1:\t.asciz \"" #name "\"\n.popsection\n" \
	".pushsection __kcrctab_gpl,\"a\"\n__crc_" #name ":\t.long 0x1234\n.popsection\n")

int printk(const char *text, ...);
