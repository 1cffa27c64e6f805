package rpmhooks

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheTableIsInTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../docs/packages.md")
	require.NoError(t, err)
	require.Contains(t, string(text), Markdown())
}
