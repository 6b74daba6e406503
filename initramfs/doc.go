// Package initramfs builds the pair that a machine boots over the network: a
// kernel, and an initrd with liveboot as process 1.
//
// The initrd is a row of segments. Each is a whole newc cpio, compressed on
// its own; the kernel unpacks one after the other (its
// Documentation/driver-api/early-userspace/buffer-format.rst), the later
// one's files replacing the earlier one's:
//
//   - microcode, if asked for, not compressed: for the processors, read before
//     anything else;
//   - base: the commands, in one static Go binary that u-root's mkuimage and
//     gobusybox put together, and the folders and device nodes that a kernel
//     needs;
//   - modules: the kernel's drivers and file systems, chosen by rules, closed
//     under their dependencies, with the index files that find them by alias;
//     those that not every boot loads are compressed there, too, and unpacked
//     when they are loaded;
//   - firmware: what these drivers load into their devices, as far as the
//     building machine has it;
//   - site: files and kernel options that the site adds.
//
// The kernel is one that is installed, one in a Debian or RPM package, or
// that of a live ISO, which is read without root and without mounting it.
//
// Nothing of the building machine gets into it, and the same inputs give the
// same bytes. Compiling and compressing are done once: results are kept in a
// cache, by the hash of what they were made from. Who installs liveboot on a
// machine without Go compiles the commands elsewhere, with Prebuild.
package initramfs
