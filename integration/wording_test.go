package integration

import "regexp"

// What the tests look for on the console. Everything that depends on how liveboot words its lines is in this file.

// stage names, as they stand on the console.
const (
	devices  = "devices"
	network  = "network"
	target   = "target"
	fetching = "fetch"
	live     = "live"
	overlay  = "overlay"
	handoff  = "handoff"
	planning = "plan"
)

// said is a line of a stage; what is an expression.
func said(stage, what string) *regexp.Regexp {
	return regexp.MustCompile(`liveboot: ` + stage + `: .*` + what)
}

// failed is the line with which a stage ends the boot; the stage and the cause are expressions.
func failed(stage, cause string) *regexp.Regexp {
	return regexp.MustCompile(`liveboot: (?:` + stage + `) FAILED: .*(?:` + cause + `)`)
}

// handedOver is the last line before the live system's own: no failure can come any more.
func handedOver() *regexp.Regexp { return regexp.MustCompile(`LIVEFACTS-BEGIN`) }

// anyFailure is the line of every failure.
func anyFailure() *regexp.Regexp { return regexp.MustCompile(`liveboot: .*FAILED: .*`) }

// hint is the line after it.
func hint() *regexp.Regexp { return regexp.MustCompile(`liveboot: hint: (\S.*)`) }

// offer is the prompt after that; its group is the seconds until the reboot.
func offer() *regexp.Regexp {
	return regexp.MustCompile(`press Enter for a shell; reboot in (\d+) s`)
}

// shellBanner is said when a shell is opened.
func shellBanner() *regexp.Regexp {
	return regexp.MustCompile(`liveboot: shell on \S+; leave it with exit`)
}

// prompt is the shell's, on a line that is not complete.
func prompt() *regexp.Regexp { return regexp.MustCompile(`^\$ $`) }

// kernelPanic ends every wait.
func kernelPanic() *regexp.Regexp { return regexp.MustCompile(`Kernel panic - not syncing: .*`) }

// configured is the line that says what link has which address; its groups are these two.
func configured() *regexp.Regexp {
	return regexp.MustCompile(`liveboot: network: (\S+) \([0-9a-f:]+\) (\S+/\d+)`)
}

// progressed is the progress line of a download that is past its first third, and not over.
func progressed() *regexp.Regexp { return regexp.MustCompile(`liveboot: fetch: +([3-8]\d) % `) }

// warned is a line that people are told beside the stages'; what is an expression.
func warned(what string) *regexp.Regexp { return regexp.MustCompile(`liveboot: warning: .*` + what) }

// freed is the line that says what the deletion of the initramfs gave back; its groups are the MiB available after and before.
func freed() *regexp.Regexp {
	return regexp.MustCompile(`liveboot: handoff: the initramfs is deleted: (\d+) MiB of memory available, (\d+) MiB before`)
}
