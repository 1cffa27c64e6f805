package rpmfile

import (
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"fmt"
	"io"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// maxWindow bounds the memory that a payload can ask its decompressor for: the
// windows of xz -9 and zstd --ultra -22 fit.
const maxWindow = 128 << 20

// compressors are the names of compressors, by the suffix of their files.
var compressors = map[string]string{".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".lzma": "lzma", ".zst": "zstd"}

// Compressed reports whether a file is compressed, by its name.
func Compressed(name string) bool { return compressors[filepath.Ext(name)] != "" }

// Decompress gives what a compressed file of that name holds, of whatever size, and
// what ends the reading.
func Decompress(name string, r io.Reader) (plain io.Reader, done func(), err error) {
	return decompress(compressors[filepath.Ext(name)], r)
}

// decompress gives the plain archive of a payload.
func decompress(compressor string, r io.Reader) (io.Reader, func(), error) {
	in := bufio.NewReaderSize(r, 1<<16)
	nothing := func() {}
	switch compressor {
	case "": // RPM's ufdio, "none"
		return in, nothing, nil
	case "gzip":
		z, err := gzip.NewReader(in)
		return z, nothing, err
	case "bzip2":
		return bzip2.NewReader(in), nothing, nil
	case "xz":
		if err := checkXZ(in); err != nil {
			return nil, nothing, err
		}
		z, err := xz.NewReader(in)
		return z, nothing, err
	case "lzma":
		z, err := lzma.ReaderConfig{DictCap: maxWindow}.NewReader(in)
		return z, nothing, err
	case "zstd":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nothing, err
		}
		return z, z.Close, nil
	}
	return nil, nothing, fmt.Errorf("%w (compressor %q)", ErrUnsupported, compressor)
}

// checkXZ refuses an xz stream whose first block wants a larger dictionary
// than maxWindow, since the library allocates what the stream asks for. See
// "The .xz File Format", 2.1.1 and 3.1.
func checkXZ(in *bufio.Reader) error {
	const streamHeader, lzma2 = 12, 0x21
	head, err := in.Peek(streamHeader + 1)
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	size := (int(head[streamHeader]) + 1) * 4
	if head[streamHeader] == 0 { // the index: no block, nothing to unpack
		return nil
	}
	if head, err = in.Peek(streamHeader + size); err != nil {
		return io.ErrUnexpectedEOF
	}
	block := head[streamHeader+1:]
	flags, at := block[0], 1
	for _, sized := range []bool{flags&0x40 != 0, flags&0x80 != 0} {
		for sized && at < len(block) {
			sized = block[at]&0x80 != 0
			at++
		}
	}
	if at+3 > len(block) || block[at] != lzma2 || block[at+1] != 1 {
		return fmt.Errorf("%w (xz with a filter other than LZMA2)", ErrUnsupported)
	}
	window, err := lzma.DecodeDictCap(block[at+2])
	if err != nil || window > maxWindow {
		return fmt.Errorf("%w (xz with a dictionary of %d bytes)", ErrTooLarge, window)
	}
	return nil
}
