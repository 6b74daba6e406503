// Package wire is what package fetch asks of a wire protocol: a way to read one file at a server, from an offset where the server can do
// that, and enough knowledge of the file to tell later whether it is still the same.
package wire

import (
	"context"
	"fmt"
	"io"
)

// A File is a file at a server. It is opened again after every interruption; what a protocol keeps between two times is its own affair,
// and needs no closing.
type File interface {
	// Open asks for the file from p on. The context bounds the reading, too: when it is done, a Read that waits ends.
	Open(ctx context.Context, p Position) (*Body, error)
}

// Ranged is a File at a server that can be asked for a part of it, several times by one connection.
type Ranged interface {
	File
	// Session is for requests one after the other. Nothing is asked yet.
	Session() Session
}

// A Session is a File that keeps its connection until it is closed. It may be used again then.
type Session interface {
	File
	io.Closer
}

// A Position is where to begin.
type Position struct {
	// Offset in bytes from the beginning of the file.
	Offset int64
	// Length in bytes of what is wanted; 0 for all that follows. What a server sends may be longer or shorter. Only a Ranged file heeds it.
	Length int64
	// Validator is that of the file whose bytes before Offset are there already; the zero Validator where it is not known. A server that
	// can compare it is asked to send the whole file if it holds another one now.
	Validator Validator
}

// Part reports whether something else than the whole file is asked for.
func (p Position) Part() bool { return p.Offset > 0 || p.Length > 0 }

// A Body is a file that is being read.
type Body struct {
	// ReadCloser gives the bytes from Offset on. It returns io.EOF only where the protocol says that the file ends, see Unframed.
	io.ReadCloser
	// URL is where the file was found, after redirects, without a login.
	URL string
	// Offset of the first byte: that of the Position, or 0 if the server does not begin there.
	Offset int64
	// Size of the whole file in bytes; -1 if the server does not tell.
	Size int64
	// End is the offset behind the last byte that the server says it sends, where it tells; else 0.
	End int64
	// Validator of the file; the zero Validator if the server gives none that is strong.
	Validator Validator
	// Ranges tells that the server can begin at an offset. Some can without saying so.
	Ranges bool
	// Unframed tells that nothing but the end of the connection says where the file ends, so that a cut cannot be told from the end.
	Unframed bool
}

// A Validator tells two versions of a file apart. A validator is here only if it is strong: a change of one byte changes it (RFC 9110
// section 8.8.1).
type Validator struct {
	// ETag with its quotes; preferred, and comparable between servers that are told to hold the same files.
	ETag string
	// Modified is when the file was changed, as the server writes it. It says nothing about another server's file.
	Modified string
}

// Known reports whether there is one.
func (v Validator) Known() bool { return v != Validator{} }

// Same reports whether both are of the same version of the same server's file. Nothing is the same as an unknown validator.
func (v Validator) Same(o Validator) bool {
	if v.ETag != "" && o.ETag != "" {
		return v.ETag == o.ETag
	}
	return v.Modified != "" && v.Modified == o.Modified
}

// A RangeError says that a server answered the wish for an offset with something else than what was asked for. From the
// beginning the file may still be had.
type RangeError struct {
	// Offset in bytes that was asked for.
	Offset int64
	// Answer is what came instead.
	Answer string
}

// Error gives both.
func (e *RangeError) Error() string {
	return fmt.Sprintf("asked to begin at byte %d, the server answered %s", e.Offset, e.Answer)
}
