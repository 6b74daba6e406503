package handoff

// A Way is how the machine is given to the live system.
type Way string

// The ways.
const (
	// Auto is Kexec where the live system has modules for its own kernel only, and SwitchRootOnly otherwise.
	Auto Way = ""
	// SwitchRootOnly keeps the running kernel.
	SwitchRootOnly Way = "switch_root"
	// KexecAlways runs the image's own kernel, even if it is of the same version.
	KexecAlways Way = "kexec"
)
