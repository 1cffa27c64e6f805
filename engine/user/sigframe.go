package user

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Layout of the kernel's struct ucontext, arch/x86/include/uapi/asm.
const (
	ucSize       = 304
	ucStackFlags = 24
	ucGregs      = 40
	ucRSP        = 160
	ucRIP        = 168
	ucSegments   = 184
	ucFPState    = 224
	ucSigMask    = 296

	ucFlagXState    = 1
	ucFlagSegSS     = 2
	ucFlagStrictSS  = 4
	redZone         = 128
	siginfoSize     = 128
	fxSwReserved    = 464
	fpMagic1        = 0x46505853
	fpMagic2        = 0x46505845
	xstateHeaderEnd = 576
	fxsaveSize      = 512
	// tileConfig is where the state of the AMX tiles begins. The kernel takes
	// it in a frame only from a process that asked to use the tiles.
	tileConfig  = 2752
	tileBits    = uint64(3) << 17
	xstateBV    = 512
	invalidMode = 7
)

// sigframe is a signal frame that was never caused by a signal: rt_sigreturn
// on it brings a thread back to where it was, all registers included.
type sigframe struct {
	uc    uint64 // address of the ucontext; what the stack pointer must be
	bytes []byte // what goes there
}

// gregs lists the registers in the order of struct sigcontext from r8 on.
func gregs(r *unix.PtraceRegs) []uint64 {
	return []uint64{r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15, r.Rdi, r.Rsi, r.Rbp, r.Rbx,
		r.Rdx, r.Rax, r.Rcx, r.Rsp, r.Rip, r.Eflags}
}

// newSigframe builds the frame below the address top. regs are those to go on
// with, see resumed.
func newSigframe(regs unix.PtraceRegs, mask uint64, state []byte, top uint64) (sigframe, error) {
	extended := len(state) >= xstateHeaderEnd
	if !extended && len(state) != fxsaveSize {
		return sigframe{}, fmt.Errorf("the kernel gives %d bytes of extended state", len(state))
	}
	features := binary.LittleEndian.Uint64(state[fxSwReserved:])
	if len(state) >= tileConfig && binary.LittleEndian.Uint64(state[xstateBV:])&tileBits == 0 {
		state = state[:min(len(state), tileConfig-56)]
		features &^= tileBits
	}
	fp := (top - uint64(len(state)) - 4) &^ 63
	uc := (fp - ucSize - siginfoSize) &^ 15
	le := binary.LittleEndian
	b := make([]byte, fp-uc+uint64(len(state))+4)
	le.PutUint64(b, ucFlagSegSS|ucFlagStrictSS)
	// Not a mode that sigaltstack knows: rt_sigreturn then leaves the
	// thread's alternate stack alone.
	le.PutUint32(b[ucStackFlags:], invalidMode)
	for i, v := range gregs(&regs) {
		le.PutUint64(b[ucGregs+8*i:], v)
	}
	le.PutUint16(b[ucSegments:], uint16(regs.Cs))
	le.PutUint16(b[ucSegments+6:], uint16(regs.Ss))
	le.PutUint64(b[ucFPState:], fp)
	le.PutUint64(b[ucSigMask:], mask)

	area := b[fp-uc:]
	copy(area, state)
	clear(area[fxSwReserved:fxsaveSize])
	if !extended {
		return sigframe{uc: uc, bytes: b}, nil
	}
	le.PutUint64(b, ucFlagXState|ucFlagSegSS|ucFlagStrictSS)
	le.PutUint32(area[fxSwReserved:], fpMagic1)
	le.PutUint32(area[fxSwReserved+4:], uint32(len(state)+4))
	le.PutUint64(area[fxSwReserved+8:], features)
	le.PutUint32(area[fxSwReserved+16:], uint32(len(state)))
	le.PutUint32(area[len(state):], fpMagic2)
	return sigframe{uc: uc, bytes: b}, nil
}
