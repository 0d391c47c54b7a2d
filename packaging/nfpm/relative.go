package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cavaliergopher/cpio"
	"github.com/klauspost/compress/zstd"
)

// nfpm writes absolute names into an rpm's archive. rpm does not mind. But cpio follows them: in an empty
// directory, "rpm2cpio FILE | cpio -id" would replace the files of the machine itself. So they are made
// relative, as rpmbuild writes them. What the rest of the file says of the archive is set anew:
// https://rpm-software-management.github.io/rpm/manual/format_v4.html

// Tags of the rpm format. The first ones are of the header of signatures.
const (
	tagSignedSHA256      = 273  // of the main header
	tagSignedSize        = 1000 // of the main header and the compressed archive
	tagSignedArchiveSize = 1007
	tagArchiveDigest     = 5092 // SHA-256 of the compressed archive
)

const (
	rpmLeadLen  = 96
	rpmIntroLen = 16 // of a header: magic number, number of entries, bytes of their data
	rpmEntryLen = 16
)

// withRelativeNames returns an rpm whose archive has relative names. It changes the one that it is given.
func withRelativeNames(rpm []byte) ([]byte, error) {
	if len(rpm) < rpmLeadLen {
		return nil, errors.New("an rpm is longer")
	}
	signatures, err := cutHeader(rpm[rpmLeadLen:])
	if err != nil {
		return nil, fmt.Errorf("header of signatures: %w", err)
	}
	start := rpmLeadLen + (len(signatures)+7)/8*8
	header, err := cutHeader(rpm[min(start, len(rpm)):])
	if err != nil {
		return nil, err
	}
	archive, size, err := rewriteArchive(rpm[start+len(header):])
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	if err := header.set(tagArchiveDigest, hexDigest(archive)); err != nil {
		return nil, err
	}
	err = errors.Join(
		signatures.set(tagSignedSHA256, hexDigest(header)),
		signatures.set(tagSignedSize, binary.BigEndian.AppendUint32(nil, uint32(len(header)+len(archive)))),
		signatures.set(tagSignedArchiveSize, binary.BigEndian.AppendUint32(nil, uint32(size))))
	return append(rpm[:start+len(header):start+len(header)], archive...), err
}

func hexDigest(b []byte) []byte { return fmt.Appendf(nil, "%x", sha256.Sum256(b)) }

// rpmHeader is a header of an rpm: a part of the file.
type rpmHeader []byte

// cutHeader returns the header that the bytes begin with.
func cutHeader(b []byte) (rpmHeader, error) {
	if len(b) < rpmIntroLen || !bytes.HasPrefix(b, []byte{0x8e, 0xad, 0xe8, 1}) {
		return nil, errors.New("no header of an rpm")
	}
	h := rpmHeader(b)
	if n := rpmIntroLen + h.entries()*rpmEntryLen + int(binary.BigEndian.Uint32(b[12:])); n <= len(b) {
		return h[:n], nil
	}
	return nil, errors.New("header of an rpm is cut off")
}

func (h rpmHeader) entries() int { return int(binary.BigEndian.Uint32(h[8:])) }

// set replaces the value of a tag by one that is as long.
func (h rpmHeader) set(tag uint32, value []byte) error {
	data := h[rpmIntroLen+h.entries()*rpmEntryLen:]
	for i := range h.entries() {
		entry := h[rpmIntroLen+i*rpmEntryLen:]
		if binary.BigEndian.Uint32(entry) == tag {
			copy(data[binary.BigEndian.Uint32(entry[8:]):], value)
			return nil
		}
	}
	return fmt.Errorf("header of an rpm has no tag %d", tag)
}

// rewriteArchive returns an archive with relative names, compressed as it was, and how long it is before that.
func rewriteArchive(compressed []byte) (archive []byte, size int, err error) {
	unzip, err := zstd.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, 0, err
	}
	defer unzip.Close()
	var plain bytes.Buffer
	if err := copyRelative(cpio.NewWriter(&plain), cpio.NewReader(unzip)); err != nil {
		return nil, 0, err
	}
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, 0, err
	}
	return zip.EncodeAll(plain.Bytes(), nil), plain.Len(), zip.Close()
}

func copyRelative(to *cpio.Writer, from *cpio.Reader) error {
	for {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			return to.Close()
		}
		if err != nil {
			return err
		}
		header.Name = "." + header.Name
		if err := to.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(to, from); err != nil {
			return err
		}
	}
}
