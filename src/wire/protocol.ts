/** IP protocol numbers (IANA). */
export const PROTOCOL_ICMP4 = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMP6 = 58;
export const PROTOCOL_NONE = 59;
