/** What a body takes of the room while it is held. */
export type Room = {
  /** Takes so much more; false: there is no room for it, and nothing was taken. */
  grow(bytes: number): boolean;
  release(): void;
};

export type BodyRoom = {
  open(): Room;
  /** Whether a body of this size would be refused at its first byte; undefined: it does not tell its size. */
  isFullFor(announcedBytes: number | undefined): boolean;
  heldBytes(): number;
};

/** A body of up to so many bytes is small; most are. */
export const SMALL_BYTES = 64 * 1024;

/** Of the room, what large bodies cannot take. A small one is here within seconds or not at all, a large one may take minutes. */
const SMALL_SHARE = 0.25;

/**
 * The room for bodies. It is taken as the bytes come, so that what is merely announced holds little. One large body alone
 * always has room; of several that are too much together the next to ask is refused, and leaves its room to the others. Small
 * ones find a part of it free, whatever the large ones do.
 */
export function createBodyRoom(maxHeldBytes: number): BodyRoom {
  const smallRoomBytes = maxHeldBytes * SMALL_SHARE;
  const largeRoomBytes = maxHeldBytes - smallRoomBytes;
  let smallBytes = 0;
  let largeBytes = 0;

  const fitsSmall = (bytes: number) =>
    smallBytes + bytes <= smallRoomBytes || smallBytes + largeBytes + bytes <= maxHeldBytes;

  return {
    open() {
      let own = 0;
      const isLarge = () => own > SMALL_BYTES;
      return {
        grow(bytes) {
          const grown = own + bytes;
          if (grown <= SMALL_BYTES) {
            if (!fitsSmall(bytes)) return false;
            smallBytes += bytes;
          } else {
            const othersBytes = isLarge() ? largeBytes - own : largeBytes;
            if (othersBytes > 0 && othersBytes + grown > largeRoomBytes) return false;
            if (!isLarge()) smallBytes -= own;
            largeBytes = othersBytes + grown;
          }
          own = grown;
          return true;
        },
        release() {
          if (isLarge()) largeBytes -= own;
          else smallBytes -= own;
          own = 0;
        },
      };
    },
    isFullFor: (announcedBytes) =>
      announcedBytes !== undefined && announcedBytes > SMALL_BYTES
        ? largeBytes >= largeRoomBytes
        : !fitsSmall(announcedBytes ?? 1),
    heldBytes: () => smallBytes + largeBytes,
  };
}
