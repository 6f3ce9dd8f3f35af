// The clock of this process: the machine's until a test sets it, and then it stands still until the test moves it.

const Machine = globalThis.Date;
let now = null;

globalThis.Date = class Date extends Machine {
    constructor(...parts) {
        if (parts.length === 0) super(Date.now());
        else super(...parts);
    }

    static now() {
        return now ?? Machine.now();
    }
};

export function set(seconds) {
    now = seconds * 1000;
}

export function move(seconds) {
    now = Date.now() + seconds * 1000;
}
