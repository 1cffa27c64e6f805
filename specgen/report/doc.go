// Package report writes what a build made as one HTML page for people: the fix, the
// functions that are replaced with their code before and after, what the patch binds to,
// sizes, and what was checked. The page needs nothing else: no network, no script.
//
// It may import engine/build, engine/diff, engine/patchobject and state/metadata.
//
// Everything on the page that comes from packages and patches is escaped by
// html/template.
package report
