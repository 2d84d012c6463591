import path, { posix, win32 } from "node:path";

const table = ["", ".", "..", "/", "//", "a", "a/", "/a", "/a/b.c", "a/b/../c", "./a", "../a", "/../a", "a//b", "a/./b", ".a", ".a.b", "a.", "a..", "/a/.b", "a.b/c", "a.b/", "/a/b//", "...", "a/..", "a/../..", "/a/../..", "x.tar.gz", "C:\\a\\b.c", "C:a", "C:", "C:/", "\\\\srv\\share\\x", "\\\\srv\\share", "\\a", "a\\b", "a/b\\c", "c:/x/../y", "//srv/share/a"];
const each = (f) => table.map((p) => { try { return f(p); } catch (e) { return e.code; } });

export const cases = {
	"posix basename": () => each(posix.basename),
	"posix dirname": () => each(posix.dirname),
	"posix extname": () => each(posix.extname),
	"posix normalize": () => each(posix.normalize),
	"posix parse": () => each(posix.parse),
	"posix isAbsolute": () => each(posix.isAbsolute),
	"posix join": () => [["a", "b"], ["a", "..", "b"], ["/a", "/b"], ["a", "", "b"], [], [""], ["", ""], ["a/", "/b"], [".", "a"], ["..", "a"], ["/", ".."], ["a", "b", "..", "..", ".."]].map((a) => posix.join(...a)),
	"posix resolve": () => [["/a", "b"], ["/a", "/b"], ["/a", "..", "b"], ["/a/b", "../.."], ["/", "a", ""], ["/a/", "./b/"]].map((a) => posix.resolve(...a)),
	"posix relative": () => [["/a/b/c", "/a/d"], ["/a", "/a"], ["/a", "/a/b"], ["/a/b", "/"], ["/", "/a"], ["/ab", "/a"], ["/a/b/", "/a/b/c/"]].map(([a, b]) => posix.relative(a, b)),
	"posix format": () => [{ dir: "/a", base: "b" }, { root: "/", base: "b" }, { root: "/", dir: "/", base: "b" }, { name: "n", ext: ".e" }, { name: "n", ext: "e" }, { dir: "d", name: "n" }].map((o) => posix.format(o)),
	"suffix": () => [posix.basename("/a/b.html", ".html"), posix.basename("b.html", "b.html"), posix.basename("b.html", "x"), posix.basename("b.html/", ".html"), posix.basename("aabb", "bb"), win32.basename("C:\\a.x", ".x")],
	"win32 basename": () => each(win32.basename),
	"win32 dirname": () => each(win32.dirname),
	"win32 extname": () => each(win32.extname),
	"win32 isAbsolute": () => each(win32.isAbsolute),
	"win32 normalize": () => ["", ".", "a/b", "a\\..\\b", "C:\\a\\..\\b", "C:a\\..\\b", "C:/a//b", "\\a\\..\\..", "a/b\\", "C:\\..", "\\\\srv\\share\\a\\..\\b"].map(win32.normalize),
	"win32 join": () => [["a", "b"], ["C:\\", "a"], ["C:", "a"], ["a", "..", "b"], ["\\\\srv\\share", "x"], ["/", "/a"], ["", ""]].map((a) => win32.join(...a)),
	"win32 resolve": () => [["C:\\a", "b"], ["C:\\a", "..\\b"], ["C:\\a", "\\b"], ["D:\\a", "C:\\b"], ["\\\\srv\\share\\", "a"]].map((a) => win32.resolve(...a)),
	"win32 relative": () => [["C:\\a\\b", "C:\\a\\c"], ["C:\\a", "C:\\A\\b"], ["C:\\a", "D:\\b"], ["C:\\", "C:\\a"]].map(([a, b]) => win32.relative(a, b)),
	"win32 parse": () => ["C:\\a\\b.c", "a\\b", "C:", "C:\\", "\\a", "x.y"].map(win32.parse),
	"shape": () => [path === posix, path.sep, path.delimiter, win32.sep, win32.delimiter, posix.win32 === win32, win32.posix === posix],
	"of a number": () => path.join("a", 5),
	"of nothing": () => path.basename(),
	"of null": () => path.format(null),
	"toNamespacedPath": () => [posix.toNamespacedPath("/a"), win32.toNamespacedPath("C:\\a"), win32.toNamespacedPath("\\\\srv\\share\\a")],
};
