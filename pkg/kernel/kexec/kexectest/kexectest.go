// Package kexectest records what would be done to start another kernel.
package kexectest

import "os"

// A Recorder is a kexec.Loader that hands each command it would run to Log.
type Recorder struct {
	Log func(command string)
	// OnLoad, when set, decides what a load comes to, and may look at the files; initrd is nil where there is none.
	OnLoad func(kernel, initrd *os.File, commandLine string) error
}

// Load records the call. Files in memory have no names that could be shown.
func (r Recorder) Load(kernel, initrd *os.File, commandLine string) error {
	command := "kexec --load --kexec-file-syscall"
	if initrd != nil {
		command += " --initrd=initrd"
	}
	r.Log(command + " --command-line='" + commandLine + "' kernel")
	if r.OnLoad != nil {
		return r.OnLoad(kernel, initrd, commandLine)
	}
	return nil
}
