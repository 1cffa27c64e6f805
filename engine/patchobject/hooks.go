package patchobject

import "strings"

// HookPrefix begins the names of the sections that list hooks: functions that
// run in the process while it is stopped. What follows is the kind of the hook.
// Such a section is made of addresses, 8 bytes each. The source of a patch
// fills them by means of syscare.h.
const HookPrefix = ".syscare.hook."

// maxHooks bounds the hooks of one section.
const maxHooks = 64

// HookKind says when a hook runs.
type HookKind string

// The kinds of hooks: around switching the new code on, and off.
const (
	PreApply   HookKind = "pre_apply"
	PostApply  HookKind = "post_apply"
	PreRemove  HookKind = "pre_remove"
	PostRemove HookKind = "post_remove"
)

// Hooks is the kind of hook that the section lists, "" if it lists none.
func (s Section) Hooks() HookKind {
	kind, found := strings.CutPrefix(s.Name, HookPrefix)
	if !found {
		return ""
	}
	return HookKind(kind)
}
