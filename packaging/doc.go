// Package packaging holds what SysCare installs beside its programs, and gives
// those parts to the programs that they describe as well.
//
// It imports nothing of SysCare.
package packaging

import _ "embed"

// Interface is the introspection data of the D-Bus service.
//
//go:embed org.openeuler.SysCare1.xml
var Interface string
