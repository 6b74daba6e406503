// Package packed reads what others packed: Debian packages, RPM packages. The archives are read once, from their beginning to their
// end.
package packed

import "errors"

// ErrDeb and ErrRPM say that a file is no package of this kind, or that it is damaged.
var (
	ErrDeb = errors.New("not a sound Debian package")
	ErrRPM = errors.New("not a sound RPM package")
)
