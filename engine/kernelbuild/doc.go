// Package kernelbuild makes livepatch modules: a fix of a kernel's sources becomes one
// module that the kernel which was shipped can load.
//
// The steps:
//
//	prepare  configure the sources as the shipped kernel was, and build what compiling
//	         single files needs: once, see Prepare
//	plan     apply the patch files to copies of what they touch
//	units    which source files of the kernel and its modules are affected
//	compile  each as it was for the shipped kernel, then twice with one section for each
//	         function, without and with the fix
//	diff     compare, see package diff
//	module   what changed, and a C file that registers it, are linked by the kernel's own
//	         build; references to what is not exported become livepatch relocations
//
// It may import packages build and diff of the engine, and below. It knows no package
// format: the caller unpacks sources and debug information.
//
// Invariants:
//   - a tree is what it was after each build, or the caller hears that it is not;
//   - what compiles to other code than was shipped is refused, by the function;
//   - the same input gives the same bytes.
package kernelbuild
