"""Categories, the MCCs that belong to them, and merchants whose name overrides the MCC."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from carteira.benefits.authorizer.rules import Catalog, normalise_merchant
from carteira.benefits.errors import CategoryNotFound, CategoryRegimeFixed, MccTaken, MerchantNotFound
from carteira.benefits.models import BenefitAccount, BenefitCatalogVersion, BenefitCategory, BenefitMcc, BenefitMerchant
from carteira.benefits.pat import FIXED_REGIMES
from carteira.benefits.schemas import CategoryOut, MerchantOut
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition


async def load(tx: Tx) -> Catalog:
    """Read the whole catalog as of one version.

    The version is read first, so that a change in between is detected at the write.
    """
    version = await tx.scalar(select(BenefitCatalogVersion.version))
    assert version is not None, "the migration writes the row"
    regimes = await tx.execute(select(BenefitCategory.name, BenefitCategory.regime))
    mccs = await tx.execute(select(BenefitMcc.mcc, BenefitMcc.category))
    merchants = await tx.execute(select(BenefitMerchant.match, BenefitMerchant.mcc))
    blocked = await tx.execute(
        select(BenefitAccount.reference, BenefitAccount.id).where(BenefitAccount.state == "blocked")
    )
    return Catalog(
        version,
        {row.name: row.regime for row in regimes},
        {row.mcc: row.category for row in mccs},
        {row.match: row.mcc for row in merchants},
        {row.reference: row.id for row in blocked},
    )


async def list_categories(tx: Tx) -> list[CategoryOut]:
    """List the categories with their MCCs."""
    query = (
        select(BenefitCategory.name, BenefitCategory.regime, func.array_agg(BenefitMcc.mcc))
        .outerjoin(BenefitMcc, BenefitMcc.category == BenefitCategory.name)
        .group_by(BenefitCategory.name)
        .order_by(BenefitCategory.name)
    )
    return [
        CategoryOut(category=name, mccs=sorted(filter(None, mccs)), regime="pat" if regime == "pat" else "free")
        for name, regime, mccs in await tx.execute(query)
    ]


async def get_category(tx: Tx, name: str) -> CategoryOut:
    """Return one category.

    Raises:
        CategoryNotFound: there is none.
    """
    found = await _found(tx, name)
    if found is None:
        raise CategoryNotFound
    return found


async def _found(tx: Tx, name: str) -> CategoryOut | None:
    return next((one for one in await list_categories(tx) if one.category == name), None)


async def _lock(tx: Tx) -> None:
    """Serialise changes of the catalog, which all move its version, until this transaction ends."""
    await tx.execute(select(BenefitCatalogVersion.version).with_for_update())


async def put_category(
    tx: Tx, name: str, mccs: Sequence[str], regime: str, seen: Precondition = UNCONDITIONAL
) -> CategoryOut:
    """Create or change a category: the given MCCs replace its own.

    Raises:
        CategoryRegimeFixed: the regime of FOOD, MEAL and CASH is fixed.
        MccTaken: an MCC belongs to another category.
        RecordChanged: the category is no longer what was seen.
    """
    if FIXED_REGIMES.get(name, regime) != regime:
        raise CategoryRegimeFixed
    await _lock(tx)
    if seen.is_named:
        now = await _found(tx, name)
        seen.hold(None if now is None else now.version)
    statement = insert(BenefitCategory).values(name=name, regime=regime)
    await tx.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"regime": regime}))
    taken = await tx.scalar(
        select(BenefitMcc.mcc).where(BenefitMcc.mcc.in_(mccs), BenefitMcc.category != name).limit(1)
    )
    if taken is not None:
        raise MccTaken(f"O MCC {taken} já pertence a outra categoria.")
    await tx.execute(delete(BenefitMcc).where(BenefitMcc.category == name, BenefitMcc.mcc.not_in(mccs)))
    if mccs:
        rows = [{"mcc": mcc, "category": name} for mcc in sorted(set(mccs))]
        await tx.execute(insert(BenefitMcc).values(rows).on_conflict_do_nothing())
    await audit.record(tx, "benefit_category_set", category=name, mccs=sorted(set(mccs)), regime=regime)
    return await get_category(tx, name)


async def list_merchants(tx: Tx) -> list[MerchantOut]:
    """List the merchants whose name overrides the MCC."""
    rows = await tx.scalars(select(BenefitMerchant).order_by(BenefitMerchant.match))
    return [MerchantOut(name=row.name, mcc=row.mcc) for row in rows]


async def get_merchant(tx: Tx, name: str) -> MerchantOut:
    """Return one merchant, by its name in any case and spacing.

    Raises:
        MerchantNotFound: there is none.
    """
    row = await tx.get(BenefitMerchant, normalise_merchant(name))
    if row is None:
        raise MerchantNotFound
    return MerchantOut(name=row.name, mcc=row.mcc)


async def _hold_merchant(tx: Tx, name: str, seen: Precondition) -> None:
    """Lock the catalog, and compare a merchant's present version with the one that the caller saw."""
    await _lock(tx)
    if seen.is_named:
        mcc = await tx.scalar(select(BenefitMerchant.mcc).where(BenefitMerchant.match == normalise_merchant(name)))
        seen.hold(mcc)


async def put_merchant(tx: Tx, name: str, mcc: str, seen: Precondition = UNCONDITIONAL) -> MerchantOut:
    """Create or change a merchant.

    Raises:
        RecordChanged: the merchant is no longer what was seen.
    """
    await _hold_merchant(tx, name, seen)
    statement = insert(BenefitMerchant).values(match=normalise_merchant(name), name=name, mcc=mcc)
    await tx.execute(statement.on_conflict_do_update(index_elements=["match"], set_={"name": name, "mcc": mcc}))
    await audit.record(tx, "benefit_merchant_set", merchant=normalise_merchant(name), mcc=mcc)
    return MerchantOut(name=name, mcc=mcc)


async def delete_merchant(tx: Tx, name: str, seen: Precondition = UNCONDITIONAL) -> None:
    """Delete a merchant.

    Raises:
        MerchantNotFound: there is none.
        RecordChanged: the merchant is no longer what was seen.
    """
    await _hold_merchant(tx, name, seen)
    gone = await tx.scalar(
        delete(BenefitMerchant)
        .where(BenefitMerchant.match == normalise_merchant(name))
        .returning(BenefitMerchant.match)
    )
    if gone is None:
        raise MerchantNotFound
    await audit.record(tx, "benefit_merchant_removed", merchant=gone)
