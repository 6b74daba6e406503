// Package mounttest records mounts instead of making them.
package mounttest

import "github.com/liveboot/liveboot/pkg/kernel/mount"

// A Recorder is a mount.Mounter that hands each command it would run to Log.
type Recorder struct {
	Log func(command string)
	// OnMount, when set, decides what a mount comes to and can lay out what would be seen at its target.
	OnMount func(mount.Point) error
}

// Mount records p.
func (r Recorder) Mount(p mount.Point) error {
	r.Log(p.String())
	if r.OnMount != nil {
		return r.OnMount(p)
	}
	return nil
}

// Unmount records the call.
func (r Recorder) Unmount(target string) error {
	r.Log("umount " + target)
	return nil
}
